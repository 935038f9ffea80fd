"""Groups of images by the size of the object."""

from __future__ import annotations

import numpy as np

SIZE_GROUPS = ('small', 'medium', 'large', 'empty')


def size_groups(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sort images into thirds by the true foreground's share of the (valid) image.

    The bounds are the terciles over the images with foreground, so they belong to this set of
    images; equal shares stay together, in the smaller group.

    Args:
        counts: Shape (N, 4): tp, fp, fn, tn.

    Returns:
        tuple[np.ndarray, np.ndarray]: The group of each image, shape (N,), one of
        :data:`SIZE_GROUPS` (``'empty'``: no true foreground), and the two bounds, shape (2,), as
        shares of the image; NaN where no image has foreground.
    """
    tp, fp, fn, tn = np.moveaxis(np.asarray(counts, np.float64), -1, 0)
    true = tp + fn
    share = true / np.maximum(tp + fp + fn + tn, 1)
    some = true > 0
    bounds = np.quantile(share[some], [1 / 3, 2 / 3]) if some.any() else np.full(2, np.nan)
    groups = np.where(share <= bounds[0], 'small', np.where(share <= bounds[1], 'medium', 'large'))
    return np.where(some, groups, 'empty'), bounds
