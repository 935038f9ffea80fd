"""A guard against gradients that PyTorch computes wrong on CPUs."""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn


def guard_dilated_bfloat16(model: nn.Module) -> list[str]:
    """Train dilated convolutions of uneven width on contiguous maps, in place.

    oneDNN, as torch 2.13 calls it, reads beyond the tensors in the weight gradient of a convolution
    in bfloat16 and channels-last memory whose dilation is above 1 and whose input channels a group
    are no multiple of 16: NaN or wrong gradients from the first step, or a crash. The levels of 24
    and 40 channels of EfficientNet-Lite0 are such inputs of :class:`FeatureEnhancement`. In
    contiguous memory the same gradient is right. Where gradients are wanted, these convolutions
    work on contiguous copies of their map and weight, and return the memory format of their map;
    under ``torch.compile``, which lays maps out itself, they work in float32.

    Args:
        model: Any network on a CPU. A convolution that already has a ``forward`` of its own, or
            whose class has another than ``nn.Conv2d``, is left alone.

    Returns:
        Names of the convolutions that were guarded now; none for a model that is guarded already.
    """
    names = []
    for name, module in model.named_modules():
        if not isinstance(module, nn.Conv2d) or 'forward' in vars(module):
            continue
        if type(module).forward is not nn.Conv2d.forward:
            continue
        if max(module.dilation) > 1 and module.in_channels // module.groups % 16:
            module.forward = functools.partial(_contiguous_in_training, module)  # type: ignore[method-assign]
            names.append(name)
    return names


def _contiguous_in_training(conv: nn.Conv2d, x: Tensor) -> Tensor:
    if not torch.is_grad_enabled():
        return nn.Conv2d.forward(conv, x)
    if torch.compiler.is_compiling():  # Inductor chooses the memory format itself
        with torch.autocast('cpu', enabled=False):
            bias = None if conv.bias is None else conv.bias.float()
            out = conv._conv_forward(x.float(), conv.weight.float(), bias)
        return out.to(torch.get_autocast_dtype('cpu'))
    # Clones: torch decides by the strides, and a tensor can be contiguous with those of
    # channels-last (one channel), or lie so without being it (a slice).
    plain = torch.contiguous_format
    out = conv._conv_forward(
        x.clone(memory_format=plain), conv.weight.clone(memory_format=plain), conv.bias
    )
    layout = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    return out.contiguous(memory_format=torch.channels_last) if layout else out
