"""Resize an image with its mask, and find pipelines that resize masks by another rule."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import mmcv.transforms
from mmseg.datasets.transforms import (
    PackSegInputs,
    RandomMosaic,
    Resize,
    ResizeShortestEdge,
    ResizeToMultiple,
)
from mmseg.registry import TRANSFORMS

from .load_binary_mask import LoadMask, sample_name
from .mask_resize import resize_mask


@TRANSFORMS.register_module()
class ResizeWithMask(Resize):
    """mmseg's ``Resize``, with the mask on the grid of the image (:func:`.resize_mask`).

    The ``gt_seg_map`` of ``LoadBinaryMask`` is resized bilinearly and cut at 0.5, that of
    ``LoadSoftMask`` stays soft. Every other entry of ``seg_fields`` holds labels, and takes the
    nearest one, centres on centres. The image is resized as by ``Resize``; masks fit its default,
    ``interpolation='bilinear'`` of the backend ``cv2``. mmcv's ``RandomResize`` and
    ``RandomChoiceResize`` take it as ``resize_type``.

    Required keys: ``img``. Modified keys: as ``Resize``.

    Args:
        *args: As in mmseg's ``Resize``.
        labels: ``gt_seg_map`` is a map of several labels too, of ``LoadAnnotations``. Default
            False: 0, 1 and 255 (ignored), or soft.
        **kwargs: As in mmseg's ``Resize``.

    Shapes:
        masks (H, W) to the size of the resized image.

    Raises:
        ValueError: At run time for a ``gt_seg_map`` of other values, without ``labels``.
    """

    def __init__(self, *args: Any, labels: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.labels = labels

    def _resize_seg(self, results: dict) -> None:
        size = tuple(results['img_shape'][:2])  # set from the image, which is resized first
        for key in results.get('seg_fields', ()):
            if results.get(key) is not None:
                labels = self.labels or key != 'gt_seg_map'
                results[key] = resize_mask(results[key], size, labels, sample_name(results))


_NEAREST = (mmcv.transforms.Resize, ResizeToMultiple, ResizeShortestEdge, RandomMosaic)


def _nested(transforms: Iterable[Any]) -> Iterator[Any]:
    """Yield transforms and those that wrappers such as ``TestTimeAug`` hold."""
    for transform in transforms:
        yield transform
        inner = getattr(transform, 'transforms', ())
        yield from _nested(inner if isinstance(inner, (list, tuple)) else [inner])


def warn_of_nearest(steps: Iterable[Any]) -> None:
    """Warn of a transform of mmseg that resizes a mask after it was read as 0/1 or soft.

    ``Resize`` (by itself or in ``RandomResize``), ``ResizeToMultiple``, ``ResizeShortestEdge`` and
    ``RandomMosaic`` take OpenCV's nearest pixel, up to half a pixel off the image.

    Args:
        steps: Built transforms of a pipeline.

    Warns:
        UserWarning: Naming the transform and its replacement.
    """
    loaded = False
    for step in _nested(steps):
        if isinstance(step, PackSegInputs):  # it ends a view of TestTimeAug
            loaded = False
        if isinstance(step, LoadMask):
            loaded = True
        resize = getattr(step, 'resize', step)
        if loaded and isinstance(resize, _NEAREST) and not isinstance(resize, ResizeWithMask):
            warnings.warn(
                f'{type(resize).__name__} after the mask was loaded takes its nearest pixel, up to '
                "half a pixel beside the image's; use ResizeWithMask (in RandomResize: "
                "resize_type='ResizeWithMask')",
                UserWarning,
                stacklevel=3,
            )
