"""Soft training masks: grey values in [0, 1] instead of classes, as in the released code."""

from __future__ import annotations

import numpy as np
from mmcv.transforms import BaseTransform, to_tensor
from mmengine.structures import PixelData
from mmseg.datasets.transforms import PackSegInputs
from mmseg.registry import TRANSFORMS

from ..utils.mask_values import IGNORE, channel_max, mask_scale, to_grey
from .transforms import require_file_values, sample_name


@TRANSFORMS.register_module()
class SoftMask(BaseTransform):
    """Turn a decoded mask into float32 in [0, 1]; 255 is *ignored* from here on.

    Takes the place of ``BinarizeMask`` in a training pipeline, right after ``LoadAnnotations``
    and before any geometric transform; ``PackSoftSegInputs`` takes that of ``PackSegInputs``. Our
    losses take such a target for two classes and one logit map. Scores want ``BinarizeMask``.
    Samples without a mask pass unchanged. Method section 7, row i; only the preset ``official``
    does it::

        LoadImageFromFile, LoadAnnotations, SoftMask, KeepBackgroundMask, RandomRotateReflect,
        RandomFlip, RandomCutOut, ResizeWithMask, PackSoftSegInputs

    Required keys: ``gt_seg_map``, ``ori_shape``. Modified keys: ``gt_seg_map``, shape (H, W).
    Added keys: ``mask_binarized``.

    Raises:
        ValueError: For a mask that is neither 0/1 nor 0/255 (as in ``BinarizeMask(mode='auto')``),
            has another size than its image, or holds labels or has been resized already.
    """

    def transform(self, results: dict) -> dict:
        """Scale ``results['gt_seg_map']``."""
        mask = results.get('gt_seg_map')
        if mask is None:
            return results
        name = sample_name(results)
        require_file_values(results, 'SoftMask')
        scale = mask_scale(mask, '' if name == '<array>' else name)
        values = channel_max(mask) if scale == 1 else to_grey(mask)
        results['gt_seg_map'] = values.astype(np.float32) / scale
        results['mask_binarized'] = True
        return results

    def __repr__(self) -> str:
        """Return the constructor call."""
        return f'{type(self).__name__}()'


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
        if 'scale_factor' in results and 'mask_resized' not in results:
            raise ValueError(
                f'{name}: Resize takes the nearest value of a soft mask; use ResizeWithMask'
            )
