"""Soft training masks: grey values in [0, 1] instead of classes, as in the released code."""

from __future__ import annotations

import mmcv
import numpy as np
from mmcv.transforms import BaseTransform, to_tensor
from mmengine.structures import PixelData
from mmseg.datasets.transforms import PackSegInputs, Resize
from mmseg.registry import TRANSFORMS

from .mask_values import IGNORE, channel_max, mask_scale, to_grey
from .transforms import require_file_values, sample_name


@TRANSFORMS.register_module()
class SoftMask(BaseTransform):
    """Turn a decoded mask into float32 in [0, 1]; 255 is *ignored* from here on.

    Takes the place of ``BinarizeMask`` in a training pipeline, right after ``LoadAnnotations``
    and before any geometric transform; ``ResizeWithSoftMask`` and ``PackSoftSegInputs`` take those
    of ``Resize`` and ``PackSegInputs``. Our losses take such a target for two classes and one
    logit map. Scores want ``BinarizeMask``. Samples without a mask pass unchanged. Method section
    7, row i; only the preset ``official`` does it::

        LoadImageFromFile, LoadAnnotations, SoftMask, KeepBackgroundMask, RandomRotateReflect,
        RandomFlip, RandomCutOut, ResizeWithSoftMask, PackSoftSegInputs

    Required keys: ``gt_seg_map``, ``ori_shape``. Modified keys: ``gt_seg_map``, shape (H, W).

    Raises:
        ValueError: For a mask that is neither 0/1 nor 0/255 (as in ``BinarizeMask(mode='auto')``),
            has another size than its image or holds labels already, and behind
            ``ScoreAtInputSize``.
    """

    def transform(self, results: dict) -> dict:
        """Scale ``results['gt_seg_map']``."""
        mask = results.get('gt_seg_map')
        if mask is None:
            return results
        name = sample_name(results)
        require_file_values(results, 'SoftMask')
        if 'mask_interpolation' in results:
            raise ValueError(
                f'{name}: SoftMask is for training; after ScoreAtInputSize use BinarizeMask'
            )
        scale = mask_scale(mask, '' if name == '<array>' else name)
        values = channel_max(mask) if scale == 1 else to_grey(mask)
        results['gt_seg_map'] = values.astype(np.float32) / scale
        results['mask_binarized'] = True
        return results

    def __repr__(self) -> str:
        """Return the constructor call."""
        return f'{type(self).__name__}()'


def resize_soft(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize a soft mask bilinearly, in steps of 1/255 as the released code does.

    Args:
        mask: In [0, 1] or 255 (ignored), shape (H, W), float.
        size: New (height, width).

    Returns:
        np.ndarray: float32. Ignored pixels have no weight; where they would have more than half
        of it, the result is ignored.
    """
    ignored, target = mask == IGNORE, tuple(size)[::-1]
    some_ignored = ignored.any()
    grey = np.rint(255 * (np.where(ignored, 0, mask) if some_ignored else mask)).astype(np.uint8)
    out = mmcv.imresize(grey, target, interpolation='bilinear').astype(np.float32) / 255
    if not some_ignored:
        return out
    weight = mmcv.imresize((~ignored).astype(np.float32), target, interpolation='bilinear')
    mean = np.clip(out / np.maximum(weight, 0.5), 0, 1)
    return np.where(weight < 0.5, np.float32(IGNORE), mean).astype(np.float32)


@TRANSFORMS.register_module()
class ResizeWithSoftMask(Resize):
    """mmseg's ``Resize``, but soft masks bilinearly and ``KeepBackgroundMask``'s mask too.

    Class masks (uint8) are resized nearest as ever, so the transform may stand in any pipeline.

    Required keys: ``img``. Modified keys: as ``Resize``, and ``background_mask``.

    Args:
        *args: As in mmseg's ``Resize``.
        **kwargs: As in mmseg's ``Resize``.

    Shapes:
        masks (H, W) to the size of the resized image.
    """

    def _resize_seg(self, results: dict) -> None:
        size = tuple(results['img_shape'][:2])  # set from the image, which is resized first
        for key in (*results.get('seg_fields', ()), 'background_mask'):
            mask = results.get(key)
            if mask is None:
                continue
            if np.issubdtype(mask.dtype, np.floating):
                results[key] = resize_soft(mask, size)
            else:
                results[key] = mmcv.imresize(
                    mask, size[::-1], interpolation='nearest', backend=self.backend
                )
        results['soft_mask_size'] = size


@TRANSFORMS.register_module()
class PackSoftSegInputs(PackSegInputs):
    """mmseg's ``PackSegInputs`` for soft masks, which that would cut to integers.

    Packs ``gt_sem_seg`` as float32, and the ``background_mask`` of ``KeepBackgroundMask`` where
    there is one, unasked.

    Args:
        *args: As in mmseg's ``PackSegInputs``.
        **kwargs: As in mmseg's ``PackSegInputs``.

    Shapes:
        ``gt_seg_map`` (H, W), float; ``gt_sem_seg`` (1, H, W), in [0, 1] or 255 (ignored).

    Raises:
        ValueError: For a mask that is not soft, or was resized by ``Resize`` (nearest).
    """

    def transform(self, results: dict) -> dict:
        """Pack ``results``."""
        results = dict(results)
        mask = results.pop('gt_seg_map', None)
        packed = super().transform(results)
        sample = packed['data_samples']
        if mask is not None:
            self._check(mask, results)
            data = to_tensor(np.ascontiguousarray(mask[None], dtype=np.float32))
            sample.gt_sem_seg = PixelData(data=data)
        if results.get('background_mask') is not None:
            sample.set_metainfo({'background_mask': results['background_mask']})
        return packed

    @staticmethod
    def _check(mask: np.ndarray, results: dict) -> None:
        name = sample_name(results)
        soft = mask.ndim == 2 and np.issubdtype(mask.dtype, np.floating)
        if not soft or not (((mask >= 0) & (mask <= 1)) | (mask == IGNORE)).all():
            raise ValueError(
                f'{name}: PackSoftSegInputs needs a float mask (H, W) in [0, 1] or {IGNORE} '
                f'(ignored), got {mask.dtype} {mask.shape} in {mask.min()}..{mask.max()}: put '
                'SoftMask right after LoadAnnotations, or use PackSegInputs for classes'
            )
        if 'scale_factor' in results and 'soft_mask_size' not in results:
            raise ValueError(
                f'{name}: Resize takes the nearest value of a soft mask; use ResizeWithSoftMask'
            )
