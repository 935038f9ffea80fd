"""Warns of a network that predicts one class everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from torch import Tensor


@HOOKS.register_module()
class ConstantPredictionHook(Hook):
    """Warn once if several validations in a row predict one class in all pixels of all images.

    All background, or all foreground: such a network has collapsed, or has not begun to learn. A
    later validation with two classes ends the row. It works with any project of mmseg::

        default_hooks = dict(constant_prediction=dict(type='ConstantPredictionHook'))

    Args:
        validations: How many in a row, 1 or more. Default 3.
    """

    def __init__(self, validations: int = 3) -> None:
        if validations < 1:
            raise ValueError(f'validations must be >= 1, got {validations}')
        self.validations = validations
        self.row = 0
        self._last: int | None = None  # what the row predicts
        self._range: Tensor | None = None  # the least label, and the largest one negated

    def before_val_epoch(self, runner: Runner) -> None:
        """Begin to look."""
        self._range = None

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Sequence[Any] | None = None,
    ) -> None:
        """Look at the predictions of a batch."""
        for sample in outputs or ():
            if 'pred_sem_seg' not in sample:
                continue
            labels = sample.pred_sem_seg.data
            found = torch.stack([labels.min().long(), -labels.max().long()])
            self._range = found if self._range is None else torch.minimum(self._range, found)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Count, and warn."""
        if self._range is None:
            return
        all_reduce(self._range, op='min')
        low, high = int(self._range[0]), -int(self._range[1])
        label = low if low == high else None
        self.row = 0 if label is None else self.row + 1 if label == self._last else 1
        self._last = label
        if self.row == self.validations:
            name = ' (background)' if label == 0 else ''
            runner.logger.warning(
                f'{self.row} validations in a row predict class {label}{name} in all pixels of all '
                'images: look at the learning rate, the masks and the loss'
            )
