"""Channels-last maps: an option that convolutions on CPUs are faster with."""

from __future__ import annotations

import functools
from typing import Any

import torch
from mmengine.hooks import Hook
from mmseg.registry import HOOKS
from torch import Tensor, nn

from .unwrap import segmentor_with


def to_channels_last(module: nn.Module, args: tuple) -> tuple:
    """Forward pre-hook: give ``module`` its images (N, C, H, W) in channels-last memory."""
    images, *others = args
    return images.contiguous(memory_format=torch.channels_last), *others


@HOOKS.register_module()
class ChannelsLastHook(Hook):
    """Feed the backbone images in channels-last memory, in training, validation and testing.

    PyTorch's convolutions pass the memory format of their map on, so that the whole network runs in
    it. On the CPUs that we measured it is faster (docs/performance.md); GPUs were not measured.
    Values agree up to rounding. Weights, gradients and checkpoints stay as they are::

        --cfg-options default_hooks.channels_last.type=ChannelsLastHook

    Raises:
        TypeError: The model has no ``backbone``.
    """

    def __init__(self) -> None:
        self._handle: Any = None

    def before_run(self, runner: Any) -> None:
        """Register :func:`to_channels_last` with the backbone, once."""
        model = segmentor_with('backbone', runner, self)
        if self._handle is None:
            self._handle = model.backbone.register_forward_pre_hook(to_channels_last)


def guard_dilated_bfloat16(model: nn.Module) -> list[str]:
    """Train dilated convolutions of uneven width on contiguous maps, in place.

    oneDNN, as torch 2.13 calls it, reads beyond the tensors in the weight gradient of a convolution
    in bfloat16 and channels-last memory with a dilation above 1 and input channels that are no
    multiple of 16: NaN gradients from the first step, or a crash. EfficientNet-Lite's levels of 24
    and 40 channels are such inputs of :class:`FeatureEnhancement`. In contiguous memory the same
    gradient is right. Where gradients are wanted, these convolutions get a contiguous copy of their
    map and give theirs back channels-last; their weights become contiguous.

    Args:
        model: Any network on a CPU.

    Returns:
        Names of the convolutions that were guarded now; none for a model that is guarded already.
    """
    names = []
    for name, module in model.named_modules():
        if not isinstance(module, nn.Conv2d) or 'forward' in vars(module):
            continue
        if max(module.dilation) > 1 and module.in_channels % 16:
            module.weight.data = module.weight.data.contiguous()
            module.forward = functools.partial(_contiguous_in_training, module)  # type: ignore[method-assign]
            names.append(name)
    return names


def _contiguous_in_training(conv: nn.Conv2d, x: Tensor) -> Tensor:
    forward = type(conv).forward
    if not torch.is_grad_enabled() or not x.is_contiguous(memory_format=torch.channels_last):
        return forward(conv, x)
    return forward(conv, x.contiguous()).contiguous(memory_format=torch.channels_last)
