"""The size at which a prediction is compared with its mask."""

from __future__ import annotations

import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS

from .load_binary_mask import require_size, sample_name
from .mask_resize import resize_mask


@TRANSFORMS.register_module()
class ScoreAtInputSize(BaseTransform):
    """Let the metrics compare at the network's input size instead of the file's.

    mmseg resizes every prediction to ``ori_shape``. This transform resizes the mask from there to
    ``img_shape`` (:func:`.resize_mask`: bilinearly, then cut at 0.5) and sets ``ori_shape =
    img_shape``, so that the prediction stays as it is. That is the published protocol; leaving
    the transform out gives the protocol ``original``. Order of a test pipeline::

        LoadImageFromFile, ResizeWithMask, LoadBinaryMask, ScoreAtInputSize, PackSegInputs

    Padding is the data preprocessor's (``test_cfg=dict(size=...)``): mmseg cuts that off a
    prediction again, but not what ``Pad`` adds in the pipeline. A sample without a mask passes
    unchanged: there is nothing to score, and the prediction should have the size of the image.

    Required keys: ``ori_shape``, ``img_shape``, ``gt_seg_map``. Modified keys: ``ori_shape``,
    ``gt_seg_map``.

    Args:
        labels: The mask is a map of several labels, of ``LoadAnnotations``, and takes the nearest
            one, centres on centres. Default False: 0, 1 and 255 of ``LoadBinaryMask``.

    Raises:
        ValueError: At run time for a mask whose size is not that of the image file (load it after
            the image is resized), for a soft one or, without ``labels``, one of other values, and
            for an image that ``Pad`` has enlarged.
    """

    def __init__(self, labels: bool = False) -> None:
        self.labels = labels

    def transform(self, results: dict) -> dict:
        """Resize ``results['gt_seg_map']`` and set ``ori_shape``."""
        mask = results.get('gt_seg_map')
        if mask is None:
            return results
        name, target = sample_name(results), tuple(results['img_shape'][:2])
        if np.issubdtype(mask.dtype, np.floating):
            raise ValueError(f'{name}: LoadSoftMask is for training; for scores use LoadBinaryMask')
        require_size(mask, results, 'load it after the image is resized')
        if 'pad_fixed_size' in results or 'pad_size_divisor' in results:  # only Pad sets these
            raise ValueError(
                f'{name}: Pad comes after ScoreAtInputSize, or the mask would be stretched over '
                'it. In a test pipeline leave padding to the data preprocessor, '
                'test_cfg=dict(size=...)'
            )
        results['gt_seg_map'] = resize_mask(mask, target, self.labels, name)
        results['ori_shape'] = target
        return results

    def __repr__(self) -> str:
        """Return the constructor call."""
        return f'{type(self).__name__}(labels={self.labels})'
