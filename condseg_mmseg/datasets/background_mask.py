"""The released code's background target, kept to compare against it."""

from __future__ import annotations

import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS

from .transforms import IGNORE


@TRANSFORMS.register_module()
class KeepBackgroundMask(BaseTransform):
    """Store 1 - mask as it is now, out of reach of every later transform.

    The released code leaves the background mask out of its geometric augmentation, so that it is
    misplaced wherever the image is turned or flipped. Put this behind ``BinarizeMask`` and
    ``Resize`` and before the augmentation, name ``'background_mask'`` in the ``meta_keys`` of
    ``PackSegInputs``, and set ``SIDHead(background_target='stored')``. A defect on purpose: only
    the preset ``official`` does it.

    Shapes:
        reads ``gt_seg_map`` (H, W) with 0, 1 or 255, adds ``background_mask`` (H, W) of the same.

    Raises:
        ValueError: The mask is not binary yet.
    """

    def transform(self, results: dict) -> dict:
        """Add ``background_mask`` to ``results``."""
        mask = results['gt_seg_map']
        if not np.isin(mask, (0, 1, IGNORE)).all():
            raise ValueError(
                f'{results.get("seg_map_path")}: the mask is not 0/1 yet, put BinarizeMask before '
                'KeepBackgroundMask'
            )
        results['background_mask'] = np.where(mask == IGNORE, mask, 1 - mask).astype(np.uint8)
        return results
