"""The released code's background target, kept to compare against it."""

from __future__ import annotations

import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS

from ..utils.mask_values import IGNORE
from .mask_resize import complement
from .transforms import sample_name


@TRANSFORMS.register_module()
class KeepBackgroundMask(BaseTransform):
    """Store 1 - mask as it is now, out of reach of flips, rotations and crops.

    The released code leaves the background mask out of its geometric augmentation, so that it is
    misplaced wherever the image is turned or flipped. Put this behind ``BinarizeMask`` or
    ``SoftMask`` and before the augmentation; ``ResizeWithMask`` may come before or after it, and
    resizes the stored mask too. The stored mask
    travels as ``background_mask`` in the ``meta_keys`` of ``PackSegInputs`` (``PackSoftSegInputs``
    packs it unasked), and ``SIDHead(background_target='stored')`` reads it. A defect on purpose:
    only the preset ``official`` does it.

    Shapes:
        reads ``gt_seg_map`` (H, W): uint8 0, 1 or 255, or float32 in [0, 1] or 255; adds
        ``background_mask`` (H, W) of the same dtype. 255, ignored, stays.

    Raises:
        ValueError: The mask is neither binary nor soft yet.
    """

    def transform(self, results: dict) -> dict:
        """Add ``background_mask`` to ``results``."""
        mask = results['gt_seg_map']
        soft = np.issubdtype(mask.dtype, np.floating)
        ignored = mask == IGNORE
        fits = (mask >= 0) & (mask <= 1) if soft else (mask == 0) | (mask == 1)
        if not (fits | ignored).all():
            raise ValueError(
                f'{sample_name(results)}: the mask is not 0/1 yet, put BinarizeMask or SoftMask '
                'before KeepBackgroundMask'
            )
        results['background_mask'] = complement(mask).astype(np.float32 if soft else np.uint8)
        return results
