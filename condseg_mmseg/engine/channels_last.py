"""Channels-last maps, which convolutions on CPUs are faster with, as an option."""

from __future__ import annotations

import functools
from typing import Any

import torch
from mmengine.hooks import Hook
from mmseg.registry import HOOKS
from torch import Tensor, nn


@HOOKS.register_module()
class ChannelsLastHook(Hook):
    """Run a network on channels-last maps, in training, validation and testing.

    It lays the convolutions' weights out with their channels last; PyTorch's convolutions then
    return their maps so, whatever the format of the images. On the CPUs that we measured that is
    faster (docs/performance.md); GPUs were not measured. Values agree up to rounding::

        --cfg-options default_hooks.channels_last.type=ChannelsLastHook

    While it is on, what needs contiguous weights fails (``parameters_to_vector``, L-BFGS). In
    checkpoints weights are contiguous all the same.
    """

    def before_run(self, runner: Any) -> None:
        """Lay the weights out; optimizer and wrappers keep them."""
        runner.model.to(memory_format=torch.channels_last)

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Make the weights of a checkpoint contiguous."""
        for key in ('state_dict', 'ema_state_dict'):
            if key in checkpoint:
                weights = checkpoint[key]
                checkpoint[key] = {name: x.contiguous() for name, x in weights.items()}


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
