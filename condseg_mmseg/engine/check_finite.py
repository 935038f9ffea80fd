"""Stops a training whose numbers are no longer finite."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from torch import Tensor, nn

from ..utils.errors import UserError
from ..utils.text import first_ten


@HOOKS.register_module()
class CheckFiniteHook(Hook):
    """Stop before a step with a loss or a gradient that is NaN or infinite.

    Neither mmengine nor mmseg looks: a run goes on with NaN, and saves it. This hook looks before
    each step of the optimizer, so that weights, averages of weights and checkpoints stay as they
    were; the message names the iteration, the losses, the parameters and the images. Where
    gradients are clipped, one bad gradient makes all of them NaN. A gradient scaler (float16)
    leaves out its own steps, which are not counted. It works with any project of mmengine::

        default_hooks = dict(check_finite=dict(type='CheckFiniteHook'))

    Args:
        max_skips: Steps that may be left out, in the whole run, before it stops. The batch is then
            as if it had not been drawn. A loss alone, or a buffer that is no longer finite, as
            BatchNorm's statistics, stops it all the same. Default 0.

    Raises:
        UserError: At the step, with what was found.
    """

    priority = 'VERY_HIGH'

    def __init__(self, max_skips: int = 0) -> None:
        if max_skips < 0:
            raise ValueError(f'max_skips must be >= 0, got {max_skips}')
        self.max_skips = max_skips
        self.skipped = 0
        self._losses: dict[str, Any] = {}
        self._images: list[str] = []
        self._handles: list[Any] = []

    def before_train(self, runner: Runner) -> None:
        """Begin to look."""

        def keep_losses(module: nn.Module, args: Any, output: Any) -> None:
            self._losses = output if isinstance(output, dict) else {}

        def check(optimizer: torch.optim.Optimizer, *args: Any) -> None:
            self._check(runner, optimizer)

        self._handles = [runner.model.register_forward_hook(keep_losses)]
        self._handles += [o.register_step_pre_hook(check) for o in _optimizers(runner)]

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Remember which images are in the batch."""
        samples = data_batch.get('data_samples', ()) if isinstance(data_batch, dict) else ()
        self._images = [str(getattr(sample, 'img_path', '?')) for sample in samples]

    def after_train(self, runner: Runner) -> None:
        """Look no longer."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _check(self, runner: Runner, optimizer: torch.optim.Optimizer) -> None:
        grads = [p.grad for g in optimizer.param_groups for p in g['params'] if p.grad is not None]
        losses = [v for name, value in self._losses.items() if 'loss' in name for v in _list(value)]
        numbers = [
            *torch._foreach_norm(grads),
            *(v.mean() for v in losses if isinstance(v, Tensor)),
        ]
        if not numbers or torch.stack([v.detach().float() for v in numbers]).isfinite().all():
            return
        names = [
            name
            for name, p in runner.model.named_parameters()
            if p.grad is not None and not p.grad.isfinite().all()
        ]
        text = ', '.join(f'{name} {_text(value)}' for name, value in self._losses.items())
        what = f'the gradients of {len(names)} parameters are not finite: {first_ten(names)}'
        found = (
            f'iteration {runner.iter + 1} (epoch {runner.epoch + 1}): '
            f'{what if names else "a loss is not finite"}; losses: {text}; '
            f'images: {first_ten(self._images)}'
        )
        buffers = [n for n, b in runner.model.named_buffers() if not b.isfinite().all()]
        # gradients are the same in all processes, losses are not: all leave out a step, or none
        if names and self.skipped < self.max_skips and not buffers:
            self.skipped += 1
            runner.logger.warning(f'{found}. Step left out ({self.skipped} of {self.max_skips})')
            for group in optimizer.param_groups:
                for p in group['params']:
                    p.grad = None  # which optimizers pass over, weight decay included
            return
        more = f'; buffers: {first_ten(buffers)}' if buffers else ''
        raise UserError(
            f'{found}{more}. The last checkpoint is from before it: lower the learning rate, '
            'clip the gradients (optim_wrapper.clip_grad), or look at these images'
        )


def _optimizers(runner: Runner) -> Iterable[torch.optim.Optimizer]:
    wrapper = runner.optim_wrapper
    wrappers = [wrapper] if isinstance(wrapper, OptimWrapper) else list(wrapper.values())
    return [w.optimizer for w in wrappers]


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _text(value: Any) -> str:
    return ' '.join(
        f'{v.mean().item():.4g}' if isinstance(v, Tensor) else str(v) for v in _list(value)
    )
