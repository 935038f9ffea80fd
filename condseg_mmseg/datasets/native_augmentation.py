"""Augmentation at the size of the file, where an image has no border to lose."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real

import mmcv
from mmseg.datasets.transforms import RandomRotate
from mmseg.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RandomRotateReflect(RandomRotate):
    """Rotate image and masks about the image's centre and fill the corners by reflection.

    What mmseg's ``RandomRotate`` fills with black and *ignored* is here the mirrored picture
    (``BORDER_REFLECT_101``) with its mirrored mask, as in the released code: every pixel counts.
    Paper, section "Implementation Details"; method section 6.

    Required keys: ``img``. Modified keys: ``img`` (bilinear) and whatever ``seg_fields`` names
    (nearest; 0/255, binarised or soft), sizes kept. The stored ``background_mask`` stays.

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
        single = isinstance(degree, Real)
        ends = (-degree, degree) if single else tuple(degree)
        if len(ends) != 2 or not ends[0] <= ends[1] or (single and not degree > 0):
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
