"""Keeps what the head of a pipeline makes of each file, so that it is decoded once."""

from __future__ import annotations

import copy
import inspect
import logging
import pickle
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.logging import print_log
from mmseg.registry import TRANSFORMS

GIB = 2**30
_RANDOM = ('Albu', 'PhotoMetricDistortion')  # random, but neither name nor arguments tell
_PLAIN = (str, bytes, int, float, bool, type(None), np.generic)  # nothing can change these


def _name(transform: Any) -> str:
    return getattr(transform, '__name__', type(transform).__name__)  # of a function its own


def why_random(transform: Any) -> str:
    """Say why a transform may treat one sample differently each time.

    Args:
        transform: A built transform, not the ones inside it.

    Returns:
        str: The reason, or an empty string.
    """
    kind = type(transform)
    if 'Random' in _name(transform) or _name(transform) in _RANDOM:
        return 'it is random'
    if hasattr(transform, 'prob') or 'prob' in inspect.signature(kind.__init__).parameters:
        return 'it has an argument prob'
    methods = getattr(kind, '_methods_with_randomness', ())  # mmcv's cache_randomness fills it
    return f'its {", ".join(methods)} is random' if methods else ''


def nested(transforms: Sequence[Any]) -> Iterator[Any]:
    """Yield transforms and those that wrappers such as Compose hold."""
    for transform in transforms:
        yield transform
        inner = getattr(transform, 'transforms', ())
        yield from nested(inner if isinstance(inner, (list, tuple)) else [inner])


def _loads_image(transform: Any) -> bool:
    name = _name(transform)
    return name.startswith('Load') and 'Image' in name and 'NDArray' not in name


def _copied(value: Any) -> Any:
    """Copy what a later transform could change in place."""
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, (list, tuple)) and all(isinstance(item, _PLAIN) for item in value):
        return copy.copy(value)
    return copy.deepcopy(value)


def _size(value: Any) -> int:
    """Bytes of an entry."""
    if isinstance(value, (np.ndarray, torch.Tensor)):
        return value.nbytes
    return len(pickle.dumps(value))


def _differs(value: Any, before: Any) -> bool:
    """Whether the head has set an entry; what cannot be compared plainly counts as set."""
    plain = (*_PLAIN, list, tuple, dict)
    if not isinstance(value, plain) or not isinstance(before, plain):
        return True
    try:
        return type(value) is not type(before) or bool(value != before)
    except ValueError:  # an array inside
        return True


@TRANSFORMS.register_module()
class CacheTransforms(BaseTransform):
    """Run the deterministic head of a pipeline once per sample and keep its result in memory.

    Decoding and resizing a file gives the same every epoch; only what is random has to run again.
    The samples are bit-equal with and without this transform. It is off in the shipped configs;
    this leaf of one's own switches it on::

        _base_ = './condseg_r50_1xb12-300e_kvasir-seg-256x256.py'
        steps = _base_.train_dataloader.dataset.pipeline
        cached = dict(type='CacheTransforms', transforms=steps[:4])
        train_dataloader = dict(dataset=dict(pipeline=[cached, *steps[4:]]))

    (``steps[:4]`` loads image and mask, binarises and resizes.) At 256 x 256 a sample takes
    0.25 MiB.

    Each worker process has a cache of its own, so ``persistent_workers=True`` is needed: others
    end with the epoch, and their caches with them. Workers draw other samples each epoch, so that
    with W of them one holds a share of 1 - (1 - 1/W)^e of the data set after e epochs, and in the
    end all of it: W times the memory. A file that changes on the disk is not read again. Pickling
    and deep copies leave the cache behind, so workers that are spawned start with an empty one.

    Required keys: ``img_path``, and ``seg_map_path`` where there is one: they tell samples apart.
    All else that the transforms read must be the same whenever these are. Entries that they do not
    set, such as ``sample_idx``, stay the caller's.

    Args:
        transforms: Configs or transforms, the first ones of the pipeline, image loading included.
        max_bytes: Bytes after which no further sample is kept, per process; the log says so once.
            Default 4 GiB.

    Raises:
        TypeError: At construction for a transform that is neither a config nor callable, or a
            ``max_bytes`` that is no integer.
        ValueError: At construction for a random transform, for transforms without image loading,
            or ``max_bytes`` < 1; at run time for a sample without ``img_path``.
    """

    def __init__(self, transforms: Sequence[Any], max_bytes: int = 4 * GIB) -> None:
        if isinstance(max_bytes, bool) or not isinstance(max_bytes, int):
            raise TypeError(f'max_bytes must be an integer, got {max_bytes!r}')
        if max_bytes < 1:
            raise ValueError(f'max_bytes must be 1 or more, got {max_bytes}')
        self.max_bytes = max_bytes
        self.transforms = [self._built(transform) for transform in transforms]
        self._check()
        self._forget()

    @staticmethod
    def _built(transform: Any) -> Any:
        if isinstance(transform, dict):
            return TRANSFORMS.build(transform)
        if not callable(transform):
            raise TypeError(f'transforms must hold configs or callables, got {transform!r}')
        return transform

    def _check(self) -> None:
        inside = list(nested(self.transforms))
        for transform in inside:
            reason = why_random(transform)
            if reason:
                raise ValueError(
                    f'transforms must be deterministic, but hold {_name(transform)} '
                    f'({reason}): kept, it would do the same to a sample every epoch; put it '
                    'behind CacheTransforms'
                )
        if not any(map(_loads_image, inside)):
            names = ', '.join(map(_name, inside)) or 'nothing'
            raise ValueError(
                f'transforms must hold the image loading, such as LoadImageFromFile, got {names}: '
                'files are told apart by name, so what is kept must begin with the file'
            )

    def _forget(self) -> None:
        self._kept: dict[tuple, tuple[dict, tuple]] = {}
        self._nbytes = 0
        self._full = False

    @property
    def nbytes(self) -> int:
        """Bytes that this process keeps."""
        return self._nbytes

    def __len__(self) -> int:
        """Return how many samples this process keeps."""
        return len(self._kept)

    def __getstate__(self) -> dict:
        """Leave out what is kept: a worker that is spawned would be sent all of it."""
        return {key: self.__dict__[key] for key in ('transforms', 'max_bytes')}

    def __setstate__(self, state: dict) -> None:
        """Begin with nothing kept."""
        self.__dict__.update(state)
        self._forget()

    def transform(self, results: dict) -> dict | None:
        """Run the transforms on ``results``, or take from memory what they gave before."""
        if 'img_path' not in results:
            raise ValueError(
                f'CacheTransforms tells samples apart by img_path, got only {sorted(results)}'
            )
        key = results['img_path'], results.get('seg_map_path')
        if key in self._kept:
            entries, removed = self._kept[key]
            results.update({name: _copied(value) for name, value in entries.items()})
            for name in removed:
                results.pop(name, None)
            return results
        # some entries are changed in place, such as the list seg_fields
        before = {} if self._full else {name: _copied(v) for name, v in results.items()}
        for step in self.transforms:
            results = step(results)
            if results is None:  # a file that may be left out
                return None
        if not self._full:
            self._keep(key, before, results)
        return results

    def _keep(self, key: tuple, before: dict, results: dict) -> None:
        entries = {
            name: _copied(value)
            for name, value in results.items()
            if name not in before or _differs(value, before[name])
        }
        size = sum(map(_size, entries.values()))
        if self._nbytes + size > self.max_bytes:
            self._full = True
            print_log(
                f'CacheTransforms keeps {len(self)} samples in {self._nbytes / 2**20:.1f} MiB of '
                f'this process; the next one would exceed max_bytes={self.max_bytes}, so the '
                'others are loaded from their files every time',
                logger='current',
                level=logging.WARNING,
            )
            return
        self._kept[key] = entries, tuple(before.keys() - results.keys())
        self._nbytes += size

    def __repr__(self) -> str:
        """Return the constructor call."""
        inner = ', '.join(map(repr, self.transforms))
        return f'{type(self).__name__}(transforms=[{inner}], max_bytes={self.max_bytes})'
