"""Convolutions taken apart, where an exact reordering is cheaper than the module as it stands.

Forward hooks of a ``ConvModule`` that is taken apart here do not run; those of its norm do, and of
its convolution but in :func:`merge_pointwise`.
"""

from collections.abc import Callable, Sequence

import torch
from mmcv.cnn import ConvModule
from torch import Tensor, nn
from torch.nn import functional as F

from .checkpoint import _in_transform, recompute
from .resize import resize_to

_HOOKS = ('_forward_hooks', '_forward_pre_hooks', '_backward_hooks', '_backward_pre_hooks')


def pointwise(x: Tensor, conv: nn.Conv2d, channels_last: bool = False) -> Tensor:
    """A 1x1 convolution as a matrix product, which lays its result out as asked at no cost.

    BLAS reads either operand transposed, so that no copy is made whatever the formats of ``x`` and
    of the result are; ``conv(x)`` keeps the format of ``x``.

    A convolution that is more than that (another class, or one with hooks) is called as it is.

    Args:
        x: (N, C, H, W), contiguous or channels-last.
        conv: 1x1, stride 1, one group, with bias.
        channels_last: Whether the result is in channels-last format. Default False.

    Returns:
        (N, conv.out_channels, H, W).
    """
    if type(conv) is not nn.Conv2d or any(getattr(conv, name) for name in _HOOKS):
        return conv(x)
    weight, pixels = conv.weight.flatten(1), x.flatten(2)  # (O, C), (N, C, H * W)
    if channels_last:
        out = F.linear(pixels.transpose(1, 2), weight, conv.bias).transpose(1, 2)
    else:
        # bmm, not baddbmm, which mmengine's get_flops does not count
        out = torch.bmm(weight.expand(x.shape[0], -1, -1), pixels)
        out += conv.bias[:, None]
    return out.unflatten(2, x.shape[-2:])


def is_channels_last(x: Tensor) -> bool:
    """Whether (N, C, H, W) lies in memory with its channels last; False inside ``torch.func``."""
    if not torch.compiler.is_compiling() and _in_transform():
        return False
    return x.is_contiguous(memory_format=torch.channels_last)


def norm_act(module: ConvModule, x: Tensor) -> Tensor:
    """What ``module`` does behind its convolution: norm and activation, where it has them."""
    if module.with_norm:
        x = module.norm(x)
    return module.activate(x) if module.with_activation else x


def conv_of(make: Callable[..., Tensor], module: ConvModule, *maps: Tensor) -> Tensor:
    """``module(make(*maps))`` that keeps ``maps`` for the backward pass, not what is made of them.

    For what costs little to make again: a resize, a concatenation, a gate. The convolution itself
    runs once, as recomputation ends where its input is there.

    Args:
        make: Makes the convolution's input, (N, C, H, W); draws no random numbers.
        module: Convolution with norm and activation.
        *maps: Arguments of ``make``; not changed in place afterwards.

    Returns:
        (N, module.out_channels, H, W).
    """

    def run(*kept: Tensor) -> Tensor:
        return module.conv(make(*kept))

    return norm_act(module, recompute(run, *maps, preserve_rng_state=False))


def merge_pointwise(
    module: ConvModule, coarse: Tensor, fine: Tensor, align_corners: bool = True
) -> Tensor:
    """``module(cat(up(coarse), fine))`` without the concatenation, for a 1x1 convolution.

    Each half of its weight takes its own map, and as a bilinear resize commutes with a 1x1
    convolution, the coarse map's share is computed at the coarse size.

    Args:
        module: 1x1 convolution with norm and activation.
        coarse: (N, c1, h, w).
        fine: (N, c2, H, W); c1 + c2 are the channels that ``module`` takes.
        align_corners: Of the resize. Default True.

    Returns:
        (N, module.out_channels, H, W).
    """
    conv = module.conv
    first, second = conv.weight.split((coarse.shape[1], fine.shape[1]), dim=1)
    x = F.conv2d(fine, second, conv.bias)
    x += resize_to(F.conv2d(coarse, first), fine.shape[-2:], align_corners)
    return norm_act(module, x)


def add_relu(x: Tensor, others: Sequence[Tensor]) -> Tensor:
    """ReLU of the sum of ``x`` and one or more others, in one new map."""
    total = x + others[0]
    for other in others[1:]:
        total += other
    return total.relu_()
