"""Channels-last maps, which convolutions on CPUs are faster with, as an option."""

from __future__ import annotations

import gc
from typing import Any

import torch
from mmengine.hooks import Hook
from mmseg.registry import HOOKS
from torch.nn.parallel import DistributedDataParallel


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
        """Lay the weights out; the optimizer keeps them."""
        runner.model.to(memory_format=torch.channels_last)
        if isinstance(runner.model, DistributedDataParallel):
            # it keeps the old layout of each weight, and would permute the gradients: make it anew
            runner.model = runner.model.module
            gc.collect()
            runner.model = runner.wrap_model(runner.cfg.get('model_wrapper_cfg'), runner.model)

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Make the weights of a checkpoint contiguous."""
        for key in ('state_dict', 'ema_state_dict'):
            if key in checkpoint:
                weights = checkpoint[key]
                checkpoint[key] = {name: x.contiguous() for name, x in weights.items()}
