"""Resize an image with its mask, and find pipelines that resize masks by another rule."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import mmcv.transforms
from mmseg.datasets.transforms import PackSegInputs, Resize
from mmseg.registry import TRANSFORMS

from .mask_resize import complement, resize_mask
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
        if results.get('background_mask') is not None:  # halfway is foreground in both
            foreground = complement(results['background_mask'])
            results['background_mask'] = complement(resize_mask(foreground, size, binarized))


ResizeWithSoftMask = ResizeWithMask


def check_mask_steps(steps: Iterable) -> None:
    """Look for steps of a pipeline that stem from the former rule of masks.

    Args:
        steps: Built transforms, those in wrappers included.

    Raises:
        ValueError: For ``ScoreAtInputSize`` with its former argument.

    Warns:
        UserWarning: For mmseg's ``Resize`` (by itself or in ``RandomResize``) after
            ``BinarizeMask``: it takes OpenCV's nearest pixel, up to half a pixel off the image.
    """
    binarized = False
    for step in steps:
        if isinstance(step, (BinarizeMask, PackSegInputs)):  # the latter ends a view of TestTimeAug
            binarized = isinstance(step, BinarizeMask)
        if isinstance(step, ScoreAtInputSize):
            step.refuse_interpolation()
        resize = getattr(step, 'resize', step)
        if (
            binarized
            and isinstance(resize, mmcv.transforms.Resize)
            and not isinstance(resize, ResizeWithMask)
        ):
            warnings.warn(
                f'{type(resize).__name__} after BinarizeMask takes the nearest pixel of the mask, '
                "up to half a pixel beside the image's; use ResizeWithMask (in RandomResize: "
                "resize_type='ResizeWithMask')",
                UserWarning,
                stacklevel=3,
            )
