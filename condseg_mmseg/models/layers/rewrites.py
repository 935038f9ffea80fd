"""Cheaper orders of the same steps, for CPUs: everything that does not read as the paper does.

A layer is written as the paper describes it. Where the same value (up to rounding) costs less in
another order, its method carries a decorator of this file, which takes the cheaper form where

* the switch is on (:func:`rewrites`, or ``CONDSEG_MMSEG_REWRITES=0`` in the environment),
* the map is on a CPU: no GPU has shown yet that it gains,
* no transform of ``torch.func`` is active,
* nobody could notice: the layer and the modules that are taken apart are exactly the classes that
  this package builds, with 1x1 convolutions, without hooks of their own or global ones, without a
  parametrisation and without a ``forward`` of the instance.

Everywhere else the method runs as it is written. A class that is patched in place (another
``nn.Conv2d.forward`` for everybody) is not seen.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmcv.cnn import ConvModule
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules import module as torch_module

from .checkpoint import in_transform
from .resize import resize_to

SWITCH_VARIABLE = 'CONDSEG_MMSEG_REWRITES'
_on = os.environ.get(SWITCH_VARIABLE, '1') != '0'
_HOOKS = ('_forward_hooks', '_forward_pre_hooks', '_backward_hooks', '_backward_pre_hooks')
# where torch no longer has this name, global hooks cannot be found, and the plain form runs
_any_global_hook = getattr(torch_module, '_has_any_global_hook', lambda: True)


@contextmanager
def rewrites(enabled: bool) -> Iterator[None]:
    """Switch all rewrites on or off inside a ``with`` block, in this process.

    Args:
        enabled: False runs every layer as it is written.
    """
    global _on
    before, _on = _on, enabled
    try:
        yield
    finally:
        _on = before


def rewritten(cheaper: Callable[..., Tensor], *parts: str) -> Callable:
    """Decorate a method of a layer by a form of it that computes the same at less cost.

    Args:
        cheaper: Takes the arguments of the method. It calls the modules of the layer as they are,
            but for ``parts``, which it may take apart.
        *parts: Attributes of the layer: ``ConvModule``, ``nn.Conv2d``, or lists of them.

    Returns:
        The decorator. The method takes positional arguments; the first is a map (N, C, H, W), or a
        list of maps.
    """

    def decorate(plain: Callable[..., Tensor]) -> Callable[..., Tensor]:
        owner = plain.__module__, plain.__qualname__.rpartition('.')[0]

        @functools.wraps(plain)
        def method(layer: Any, x: Tensor | list[Tensor], *args: object) -> Tensor:
            kind, device = type(layer), (x if isinstance(x, Tensor) else x[0]).device
            if (
                _on
                and device.type == 'cpu'
                and (kind.__module__, kind.__qualname__) == owner
                and not _any_global_hook()
                and (torch.compiler.is_compiling() or not in_transform())
                and not _is_watched(layer)
                and all(_can_take_apart(getattr(layer, name)) for name in parts)
            ):
                return cheaper(layer, x, *args)
            return plain(layer, x, *args)

        return method

    return decorate


def _is_watched(module: nn.Module) -> bool:
    if any(getattr(module, name) for name in _HOOKS):
        return True
    forward = vars(module).get('forward')
    # CompileHook puts the compiled forward of the class there, or in a copy the plain one
    return forward is not None and getattr(forward, '__func__', None) is not type(module).forward


def _can_take_apart(module: Any) -> bool:
    """Whether nobody sees that ``module`` is not called itself."""
    if _is_watched(module):
        return False
    if type(module) is nn.ModuleList:
        return all(map(_can_take_apart, module))
    if type(module) is ConvModule:
        return module.order == ('conv', 'norm', 'act') and _can_take_apart(module.conv)
    if type(module) is not nn.Conv2d:  # a parametrisation makes a class of its own
        return False
    pointwise = (module.kernel_size, module.stride, module.groups) == ((1, 1), (1, 1), 1)
    return pointwise and module.padding in ((0, 0), 'valid', 'same')


def _norm_act(module: ConvModule, x: Tensor) -> Tensor:
    """The steps of ``module`` after its convolution."""
    if module.with_norm:
        x = module.norm(x)
    return module.activate(x) if module.with_activation else x


def merge_before_resize(block: Any, coarse: Tensor, fine: Tensor, align_corners: bool) -> Tensor:
    """``merge(cat(up(coarse), fine))`` without the concatenation, for a 1x1 convolution.

    Each half of the weight takes its own map, and as a bilinear resize commutes with a 1x1
    convolution, the share of the coarse map is computed at its own size.

    Args:
        block: A :class:`SizeAwareBlock`.
        coarse: (N, c1, h, w).
        fine: (N, c2, H, W).
        align_corners: For the resize.

    Returns:
        (N, C, H, W).
    """
    conv = block.merge.conv
    first, second = conv.weight.split((coarse.shape[1], fine.shape[1]), dim=1)
    x = F.conv2d(fine, second, conv.bias)
    x += resize_to(F.conv2d(coarse, first), fine.shape[-2:], align_corners)
    return _norm_act(block.merge, x)


def levels_before_resize(head: Any, maps: list[Tensor], size: tuple[int, int]) -> Tensor:
    """``conv_seg(cat(level_i(up(x_i))))`` of :class:`EncoderFusionHead` in a cheaper order.

    The convolutions of the levels run before the resize, with which they commute (BN and ReLU do
    not, and stay after it). The sum over slices of the last weight is the convolution of the
    concatenation, which at full resolution would be the largest tensor of the network.

    Args:
        head: The head.
        maps: One of each level, (N, in_channels[i], h_i, w_i).
        size: Height and width of the logits.

    Returns:
        Logits, (N, out_channels, *size).
    """
    mixed = (
        _norm_act(level, resize_to(level.conv(x), size, head.align_corners))
        for level, x in zip(head.levels, maps, strict=True)
    )
    if head.dropout is not None:  # it draws one number a channel of the concatenation
        return head.cls_seg(torch.cat(list(mixed), 1))
    slices = head.conv_seg.weight.split(head.channels, dim=1)
    first, *others = (F.conv2d(x, weight) for x, weight in zip(mixed, slices, strict=True))
    logits = sum(others, first)
    return logits if head.conv_seg.bias is None else logits + head.conv_seg.bias[:, None, None]


def aggregate_by_products(cdfa: Any, x: Tensor, fg: Tensor, bg: Tensor) -> Tensor:
    """``aggregate_twice`` of CDFA with its linear layers as matrix products.

    A convolution returns the memory format of its map, a matrix product any format at no cost. The
    aggregation reads every channel as a plane: contiguous maps, of which the logits have many times
    the channels of all others. The result has the format of ``x``.

    Args:
        cdfa: A :class:`ContrastDrivenFeatureAggregation`.
        x: (N, C, H, W).
        fg: (N, C, H, W).
        bg: (N, C, H, W).

    Returns:
        (N, C, H, W).
    """
    guides = {'fg': (fg, cdfa.attn_fg), 'bg': (bg, cdfa.attn_bg)}
    formats = False, _is_channels_last(x)
    x = _product(cdfa.value, x)
    for name, channels_last in zip(cdfa.attn_order, formats, strict=True):
        guide, attn = guides[name]
        mixed = cdfa.outlook(x, _product(attn, cdfa.pool(guide)))
        x = cdfa.proj_drop(_product(cdfa.proj, mixed, channels_last))
    return x


def _product(conv: nn.Conv2d, x: Tensor, channels_last: bool = False) -> Tensor:
    """``conv(x)`` of a 1x1 convolution, in the memory format asked for.

    BLAS reads either operand transposed, so that nothing is copied whatever the format of ``x``.
    """
    weight, pixels = conv.weight.flatten(1), x.flatten(2)  # (O, C), (N, C, H * W)
    if channels_last:
        out = F.linear(pixels.transpose(1, 2), weight, conv.bias)  # (N, H * W, O)
        # unflatten first: after a transpose, torch takes one image for contiguous
        return out.unflatten(1, x.shape[-2:]).movedim(-1, 1)
    # bmm, not baddbmm, which mmengine's get_flops does not count
    out = torch.bmm(weight.expand(x.shape[0], -1, -1), pixels)
    if conv.bias is not None:
        out += conv.bias[:, None]
    return out.unflatten(2, x.shape[-2:])


def _is_channels_last(x: Tensor) -> bool:
    return x.is_contiguous(memory_format=torch.channels_last)
