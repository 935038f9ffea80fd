"""What only the preset ``official`` needs: the masks and the augmentation of the released code.

Its training pipeline, at the size of the files until the last step but one::

    LoadImageFromFile, LoadSoftMask, KeepBackgroundMask (stage 2), RandomRotateReflect,
    RandomFlip, RandomFlip, RandomCutOut, ResizeWithMask, PackSoftSegInputs
"""

from __future__ import annotations

from collections.abc import Sequence

import mmcv
import numpy as np
from mmcv.transforms import BaseTransform, to_tensor
from mmengine.structures import PixelData
from mmseg.datasets.transforms import PackSegInputs, RandomRotate
from mmseg.registry import TRANSFORMS

from ..utils.mask_values import IGNORE, channel_max, mask_scale, to_grey
from .load_binary_mask import LoadMask, require_fit, sample_name
from .mask_resize import resize_soft


def _within(mask: np.ndarray) -> bool:
    """Whether a mask is 0, 1 or 255 (integers), or in [0, 1] or 255 (float)."""
    soft = np.issubdtype(mask.dtype, np.floating)
    fits = (mask >= 0) & (mask <= 1) if soft else (mask == 0) | (mask == 1)
    return bool((fits | (mask == IGNORE)).all())


@TRANSFORMS.register_module()
class LoadSoftMask(LoadMask):
    """Read a mask file as float32 in [0, 1]; 255 is *ignored* from here on.

    It takes the place of ``LoadBinaryMask`` in a training pipeline, and ``PackSoftSegInputs`` that
    of ``PackSegInputs``. Our losses take such a target for two classes and one logit map. Scores
    need ``LoadBinaryMask``. Method section 7, row i.

    Raises:
        ValueError: For a mask that has another size than its image or is neither 0/1 nor 0/255, as
            in ``LoadBinaryMask``.
    """

    def convert(self, mask: np.ndarray, name: str) -> np.ndarray:
        """Scale a decoded mask to [0, 1]."""
        require_fit(mask, name)
        scale = mask_scale(mask, name)
        return (channel_max(mask) if scale == 1 else to_grey(mask)).astype(np.float32) / scale


@TRANSFORMS.register_module()
class KeepBackgroundMask(BaseTransform):
    """Store 1 - mask as it is now, out of reach of flips and rotations. A defect on purpose.

    The released code leaves the background mask out of its geometric augmentation, so that it is
    misplaced wherever the image is turned or flipped. Put this before the augmentation and, unless
    ``PackSoftSegInputs`` follows, after the resize; no crop may follow it. The stored mask travels
    as ``background_mask`` in the ``meta_keys`` of ``PackSegInputs`` (``PackSoftSegInputs`` packs
    it by default), and ``SIDHead(background_target='stored')`` reads it. Method section 7, row b.

    Shapes:
        reads ``gt_seg_map`` (H, W): uint8 0, 1 or 255, or float32 in [0, 1] or 255; adds
        ``background_mask`` (H, W) of the same dtype. 255, ignored, stays.

    Raises:
        ValueError: The mask is neither binary nor soft.
    """

    def transform(self, results: dict) -> dict:
        """Add ``background_mask`` to ``results``."""
        mask = results['gt_seg_map']
        if not _within(mask):
            raise ValueError(
                f'{sample_name(results)}: the mask is neither 0/1 nor soft; KeepBackgroundMask '
                'comes after LoadBinaryMask or LoadSoftMask'
            )
        results['background_mask'] = np.where(mask == IGNORE, mask, 1 - mask).astype(mask.dtype)
        return results


@TRANSFORMS.register_module()
class RandomRotateReflect(RandomRotate):
    """Rotate image and masks about the image's centre and fill the corners by reflection.

    What mmseg's ``RandomRotate`` fills with black and *ignored* is here the mirrored picture
    (``BORDER_REFLECT_101``) with its mirrored mask, as in the released code: every pixel counts.
    Paper, section "Implementation Details"; method section 6.

    Required keys: ``img``. Modified keys: ``img`` (bilinear) and whatever ``seg_fields`` names
    (nearest), sizes kept. The stored ``background_mask`` stays.

    Args:
        prob: Probability of a rotation, in [0, 1].
        degree: Greatest angle, > 0, or the two ends of the range, in degrees; positive is
            clockwise. The angle is uniform.

    Shapes:
        ``img`` (H, W, 3), masks (H, W).

    Raises:
        ValueError: For another probability or range.
    """

    def __init__(self, prob: float, degree: float | Sequence[float]) -> None:
        if not 0 <= prob <= 1:
            raise ValueError(f'prob must lie in [0, 1], got {prob!r}')
        single = isinstance(degree, (int, float))
        ends = (-degree, degree) if isinstance(degree, (int, float)) else tuple(degree)
        if len(ends) != 2 or not ends[0] <= ends[1] or (single and not ends[1] > 0):
            raise ValueError(f'degree must be > 0 or (min, max), got {degree!r}')
        super().__init__(prob, ends)

    def transform(self, results: dict) -> dict:
        """Rotate ``results['img']`` and its masks by one angle."""
        rotate, degree = self.generate_degree()
        if rotate:
            for key in ('img', *results.get('seg_fields', ())):
                results[key] = mmcv.imrotate(
                    results[key],
                    degree,
                    interpolation='bilinear' if key == 'img' else 'nearest',
                    border_mode='reflect_101',
                )
        return results

    def __repr__(self) -> str:
        """Return the constructor call."""
        return f'{type(self).__name__}(prob={self.prob}, degree={self.degree})'


@TRANSFORMS.register_module()
class PackSoftSegInputs(PackSegInputs):
    """mmseg's ``PackSegInputs`` for soft masks, which that would cut to integers.

    Packs ``gt_sem_seg`` as float32, and the ``background_mask`` of ``KeepBackgroundMask`` where
    there is one, resized to the mask's size, without being asked in ``meta_keys``.

    Args:
        *args: As in mmseg's ``PackSegInputs``.
        **kwargs: As in mmseg's ``PackSegInputs``.

    Shapes:
        ``gt_seg_map`` (H, W), float; ``gt_sem_seg`` (1, H, W), in [0, 1] or 255 (ignored).

    Raises:
        ValueError: For a mask that is not soft.
    """

    def transform(self, results: dict) -> dict:
        """Pack ``results``."""
        results = dict(results)
        mask, background = results.pop('gt_seg_map', None), results.get('background_mask')
        sample = (packed := super().transform(results))['data_samples']
        if mask is None:
            return packed
        if mask.ndim != 2 or not np.issubdtype(mask.dtype, np.floating) or not _within(mask):
            raise ValueError(
                f'{sample_name(results)}: PackSoftSegInputs needs a float mask (H, W) in [0, 1] or '
                f'{IGNORE} (ignored), got {mask.dtype} {mask.shape} in {mask.min()}..{mask.max()}: '
                'read it by LoadSoftMask, or use PackSegInputs for classes'
            )
        data = to_tensor(np.ascontiguousarray(mask[None], dtype=np.float32))
        sample.gt_sem_seg = PixelData(data=data)
        if background is not None:
            if background.shape != mask.shape:
                background = resize_soft(background, mask.shape)
            sample.set_metainfo({'background_mask': background})
        return packed
