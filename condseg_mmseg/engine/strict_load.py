"""Stops where a checkpoint does not hold the network that is to use it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner import BaseLoop, Runner
from mmseg.registry import HOOKS
from torch import nn

from ..utils.errors import UserError
from ..utils.text import first_ten


def compare(
    own: Mapping[str, Any], given: Mapping[str, Any]
) -> tuple[list[str], dict[str, str], list[str]]:
    """Compare the weights of a module with those of a checkpoint.

    Args:
        own: State dict of the module.
        given: State dict of the checkpoint.

    Returns:
        Names that the checkpoint lacks, but for BatchNorm's counters, which old files do not
        have; name -> ``'name (shape instead of shape)'`` where the shapes differ; and the names
        that only the checkpoint has.
    """
    missing = [n for n in own if n not in given and not n.endswith('num_batches_tracked')]
    shapes = {
        name: f'{name} ({_shape(given[name])} instead of {_shape(own[name])})'
        for name in own
        if name in given and _shape(given[name]) != _shape(own[name])
    }
    return missing, shapes, [name for name in given if name not in own]


@HOOKS.register_module()
class StrictLoadHook(Hook):
    """Compare what a checkpoint holds with the network before it is used.

    mmengine loads what it happens to find, and logs the rest: a test then scores an untrained
    network. With this hook among the ``default_hooks`` (any name, here ``strict_load``)::

        default_hooks = dict(strict_load=dict(type='StrictLoadHook'))

    * a test, a validation and ``--resume`` stop unless every weight that prediction uses is there,
      in its shape (``--resume``: every weight);
    * a training that starts from ``load_from`` stops if no weight fits; otherwise mmengine prints
      what does not;
    * all of them stop if a weight of the network is NaN or infinite.

    It works with any model of mmengine.

    Args:
        strict: Whether ``load_from`` in training needs every weight, too. Default False.
        training_only: Regular expressions, matched from the begin of a name, of weights that
            prediction does not use. Default: those of mmseg's auxiliary heads.
    """

    priority = 'VERY_LOW'  # after hooks that change the state dict, as EMAHook

    def __init__(
        self, strict: bool = False, training_only: Sequence[str] = (r'auxiliary_head\.',)
    ) -> None:
        self.strict = strict
        self.training_only = [re.compile(text) for text in training_only]

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Compare, before mmengine loads."""
        source = runner._load_from or 'the checkpoint'
        weights = checkpoint.get('state_dict', checkpoint)
        given = {re.sub(r'^module\.', '', name): value for name, value in weights.items()}
        own = _plain(runner.model).state_dict()
        missing, shapes, left_over = compare(own, given)
        trains = isinstance(runner._train_loop, BaseLoop)
        if not trains:
            missing = [n for n in missing if not self._is_training_only(n)]
            shapes = {n: text for n, text in shapes.items() if not self._is_training_only(n)}
        bad = [
            name
            for name, value in given.items()
            if name in own and isinstance(value, torch.Tensor) and not value.isfinite().all()
        ]
        if bad:
            raise UserError(
                f'{source}: NaN or infinite: {first_ten(bad)}; its training has diverged'
            )
        lists = '\n'.join(
            f'  {len(names)} {what}: {first_ten(names)}'
            for what, names in (
                ('missing', missing),
                ('of another shape', shapes.values()),
                ('left over', left_over),
            )
            if names
        )
        if trains and not runner._resume and not self.strict:
            if not any(name in given and name not in shapes for name in own):
                raise UserError(f'{source} has no weight of the network:\n{lists}')
        elif missing or shapes:
            raise UserError(f'{source} does not fit the network:\n{lists}')

    def _is_training_only(self, name: str) -> bool:
        return any(pattern.match(name) for pattern in self.training_only)


def _plain(model: Any) -> nn.Module:
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model


def _shape(value: Any) -> tuple[int, ...]:
    return tuple(getattr(value, 'shape', ()))
