"""Resize an image with its mask, and find pipelines that resize masks by another rule."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import mmcv.transforms
import numpy as np
from mmseg.datasets.transforms import (
    PackSegInputs,
    RandomMosaic,
    Resize,
    ResizeShortestEdge,
    ResizeToMultiple,
)
from mmseg.registry import TRANSFORMS

from .mask_resize import complement, resize_mask
from .soft_mask import SoftMask
from .transforms import BinarizeMask, ScoreAtInputSize


@TRANSFORMS.register_module(name=['ResizeWithMask', 'ResizeWithSoftMask'])
class ResizeWithMask(Resize):
    """mmseg's ``Resize``, with masks on the grid of the image (:func:`.resize_mask`).

    The rule goes by what a mask is, not by what values one file holds: masks of ``BinarizeMask``
    are resized bilinearly and cut at 0.5, those of ``SoftMask`` stay soft, both also as the
    ``background_mask`` of ``KeepBackgroundMask``; all other ``seg_fields`` are labels, and take
    the centre-aligned nearest one. The image is resized as by ``Resize``; masks fit its default,
    ``interpolation='bilinear'`` of the backend ``cv2``. mmcv's ``RandomResize`` and
    ``RandomChoiceResize`` take it as ``resize_type``. ``ResizeWithSoftMask`` is its former name.

    Required keys: ``img``. Modified keys: as ``Resize``, and ``background_mask``. Added keys:
    ``mask_resized``.

    Args:
        *args: As in mmseg's ``Resize``.
        **kwargs: As in mmseg's ``Resize``.

    Shapes:
        masks (H, W) to the size of the resized image.
    """

    def _resize_seg(self, results: dict) -> None:
        size = tuple(results['img_shape'][:2])  # set from the image, which is resized first
        binarized = results.get('mask_binarized', False)
        for key in results.get('seg_fields', ()):
            if results.get(key) is not None:
                results[key] = resize_mask(results[key], size, binarized and key == 'gt_seg_map')
                results['mask_resized'] = True
        background = results.get('background_mask')
        if background is not None and np.issubdtype(background.dtype, np.floating):
            results['background_mask'] = resize_mask(background, size, binarized)
        elif background is not None:  # halfway is foreground in both
            foreground = resize_mask(complement(background), size, binarized)
            results['background_mask'] = complement(foreground)


ResizeWithSoftMask = ResizeWithMask
_NEAREST = (mmcv.transforms.Resize, ResizeToMultiple, ResizeShortestEdge, RandomMosaic)


def check_mask_steps(steps: Iterable) -> None:
    """Look for steps of a pipeline that stem from the former rule of masks.

    Args:
        steps: Built transforms, those in wrappers included.

    Raises:
        ValueError: For ``ScoreAtInputSize`` with its former argument.

    Warns:
        UserWarning: For a transform of mmseg that resizes masks (``Resize``, by itself or in
            ``RandomResize``, ``ResizeToMultiple``, ``ResizeShortestEdge``, ``RandomMosaic``) after
            ``BinarizeMask`` or ``SoftMask``: it takes OpenCV's nearest pixel, up to half a pixel
            off the image.
    """
    binarized = False
    for step in steps:
        if isinstance(step, PackSegInputs):  # it ends a view of TestTimeAug
            binarized = False
        if isinstance(step, (BinarizeMask, SoftMask)):
            binarized = True
        if isinstance(step, ScoreAtInputSize):
            step.refuse_interpolation()
        resize = getattr(step, 'resize', step)
        if binarized and isinstance(resize, _NEAREST) and not isinstance(resize, ResizeWithMask):
            warnings.warn(
                f'{type(resize).__name__} after the mask was cut takes its nearest pixel, '
                "up to half a pixel beside the image's; use ResizeWithMask (in RandomResize: "
                "resize_type='ResizeWithMask')",
                UserWarning,
                stacklevel=3,
            )
