"""Dropout and whatever else a network draws, by the iteration."""

from __future__ import annotations

from typing import Any

from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from ..utils.draws import seed_everything


@HOOKS.register_module()
class SeededIterationsHook(Hook):
    """Seed random, numpy and torch before each training step from seed, process and iteration.

    So a resumed training draws in its network what the uninterrupted one would have. The data are
    the work of ``SeededSampler``. It works with any project of mmengine::

        default_hooks = dict(seeded_iterations=dict(type='SeededIterationsHook'))

    If ``randomness`` has no seed, mmengine makes one, and a resume takes it from the checkpoint,
    after the sampler was built with another one. This hook gives it to the sampler, too.
    """

    def before_run(self, runner: Runner) -> None:
        """Remember the seed that the sampler was built with."""
        self._built_with = runner.seed

    def before_train(self, runner: Runner) -> None:
        """Give the seed of the checkpoint to the sampler."""
        loader = runner.train_dataloader
        for sampler in (loader.sampler, getattr(loader.batch_sampler, 'sampler', None)):
            # a sampler with a seed of its own keeps it
            if sampler is not None and getattr(sampler, 'seed', None) == self._built_with:
                sampler.seed = runner.seed

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Seed."""
        seed_everything('iteration', runner.seed, get_rank(), runner.iter)
