"""Transforms of former versions, so that the configs which these dumped still load."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from mmcv.transforms import Compose
from mmseg.registry import TRANSFORMS

from .load_binary_mask import LoadBinaryMask
from .official import LoadSoftMask
from .resize_with_mask import ResizeWithMask

TRANSFORMS.register_module(name='ResizeWithSoftMask', module=ResizeWithMask)


@TRANSFORMS.register_module()
class BinarizeMask(LoadBinaryMask):
    """Former name of ``LoadBinaryMask``; the ``LoadAnnotations`` before it is not needed."""

    def __init__(
        self, threshold: int | None = None, mode: str = 'threshold', ignore_index: int | None = None
    ) -> None:
        super().__init__(mode, threshold, ignore_index)


@TRANSFORMS.register_module()
class SoftMask(LoadSoftMask):
    """Former name of ``LoadSoftMask``; the ``LoadAnnotations`` before it is not needed."""


@TRANSFORMS.register_module()
class CacheTransforms(Compose):
    """Runs its transforms; it keeps nothing any more."""

    def __init__(self, transforms: Sequence[Any], max_bytes: int = 0) -> None:
        warnings.warn(
            'CacheTransforms is gone: its transforms run every time; list them in the pipeline',
            UserWarning,
            stacklevel=2,
        )
        super().__init__(transforms)
