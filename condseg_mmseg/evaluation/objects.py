"""Objects that were found, and marks that are on an object."""

from __future__ import annotations

import cv2
import numpy as np


def covered_share(objects: np.ndarray, cover: np.ndarray) -> float:
    """Share of the objects of a mask of which another covers half of the pixels or more.

    With the true mask and the prediction it is the object-level recall: objects that were found.
    The other way round it is the object-level precision: marks that lie on an object. An object is
    a set of pixels that touch at edges or corners.

    Args:
        objects: Mask whose objects count, shape (H, W), bool.
        cover: The other mask, shape (H, W), bool.

    Returns:
        Share from 0 to 1; NaN where there is no object.
    """
    number, labels = cv2.connectedComponents(objects.astype(np.uint8), connectivity=8)
    if number == 1:
        return float('nan')
    sizes = np.bincount(labels.ravel(), minlength=number)[1:]
    inside = np.bincount(labels[cover], minlength=number)[1:]
    return float((2 * inside >= sizes).mean())
