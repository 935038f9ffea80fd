"""Augmentation that depends on seed, pass over the data and index alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmengine.structures import BaseDataElement
from mmseg.registry import DATA_SAMPLERS

from ..utils.draws import Draw, seeded


class SampleIndex(int):
    """Index of a sample that knows what its draws depend on; a plain ``int`` for everyone else.

    mmengine's ``ConcatDataset`` subtracts from it and ``RepeatDataset`` takes the remainder: the
    data set within gets the draw of the outer index. ``ClassBalancedDataset`` looks it up in a list
    of plain numbers, so that the draw is lost there.

    Args:
        index: Position in the data set.
        draw: Seed, pass over the data, and index.
    """

    draw: Draw

    def __new__(cls, index: int, draw: Draw) -> SampleIndex:
        """Make an int with ``draw``."""
        self = super().__new__(cls, index)
        self.draw = draw
        return self

    def __reduce__(self) -> tuple[type[SampleIndex], tuple[int, Draw]]:
        """How to pickle it, on its way to a worker."""
        return SampleIndex, (int(self), self.draw)

    def __sub__(self, other: int) -> SampleIndex:
        return SampleIndex(int(self) - other, self.draw)

    def __mod__(self, other: int) -> SampleIndex:
        return SampleIndex(int(self) % other, self.draw)


@DATA_SAMPLERS.register_module()
class SeededSampler(DefaultSampler):
    """mmengine's ``DefaultSampler``, in the same order, whose indices seed the samples.

    With a data set that has :class:`SeededDraws`, a sample depends on the seed, the number of the
    pass over the data and the index alone: the number of workers, a resume and the number of
    processes change nothing. Any other data set draws as before. It needs mmengine's
    ``DistSamplerSeedHook``, as ``shuffle`` does.

    Args:
        *args: As of ``DefaultSampler``.
        **kwargs: As of ``DefaultSampler``.
    """

    def __iter__(self) -> Iterator[int]:
        """Yield the indices of one pass."""
        return iter([SampleIndex(i, (self.seed, self.epoch, i)) for i in super().__iter__()])


@DATA_SAMPLERS.register_module()
class SeededInfiniteSampler(InfiniteSampler):
    """mmengine's ``InfiniteSampler``, in the same order: for ``IterBasedTrainLoop``.

    See :class:`SeededSampler`.

    Args:
        *args: As of ``InfiniteSampler``.
        **kwargs: As of ``InfiniteSampler``.
    """

    def _infinite_indices(self) -> Iterator[int]:
        for count, index in enumerate(super()._infinite_indices()):
            yield SampleIndex(index, (self.seed, count // self.size, index))


class SeededDraws:
    """Mixin of a data set of mmengine whose samples are seeded by their :class:`SampleIndex`.

    Use::

        @DATASETS.register_module()
        class MyDataset(SeededDraws, BaseSegDataset): ...

    The pipeline may draw from random, numpy's global generator and torch, on the CPU. Their states
    are put back after it. A plain index, of another sampler, draws as before. The meta information
    of a sample keeps the numbers as ``draw``, where there are ``data_samples``.
    """

    def __getitem__(self, idx: int) -> Any:
        """Get a sample."""
        load = super().__getitem__  # type: ignore[misc]
        if not isinstance(idx, SampleIndex):
            return load(idx)
        with seeded('sample', *idx.draw):
            sample = load(idx)
        element = sample.get('data_samples') if isinstance(sample, dict) else None
        if isinstance(element, BaseDataElement):
            element.set_metainfo(dict(draw=idx.draw))
        return sample
