"""One rule for masks that change their size: bilinear on the image's grid, cut at 0.5."""

from __future__ import annotations

import cv2
import numpy as np

from ..utils.mask_values import IGNORE


def complement(mask: np.ndarray) -> np.ndarray:
    """Return 1 - mask; 255, ignored, stays.

    Args:
        mask: 0, 1 or 255 (uint8), or in [0, 1] or 255 (float), shape (H, W).

    Returns:
        np.ndarray: The same shape and dtype.
    """
    return np.where(mask == IGNORE, mask, 1 - mask).astype(mask.dtype)


def resize_soft(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize a soft mask bilinearly, in steps of 1/255 as the released code does.

    The grid is that of ``cv2.INTER_LINEAR``, on which images are resized: centres of pixels.

    Args:
        mask: In [0, 1] or 255 (ignored), shape (H, W), float, or uint8 of 0, 1 and 255.
        size: New (height, width).

    Returns:
        np.ndarray: float32. Ignored pixels have no weight; where they would have more than half
        of it, the result is ignored.
    """
    ignored, target = mask == IGNORE, tuple(size)[::-1]
    some_ignored = ignored.any()
    grey = 255 * (np.where(ignored, 0, mask) if some_ignored else mask)
    if np.issubdtype(mask.dtype, np.floating):
        grey = np.rint(grey)
    out = _bilinear(grey.astype(np.uint8), target).astype(np.float32) / 255
    if not some_ignored:
        return out
    weight = _bilinear((~ignored).astype(np.float32), target)
    mean = np.clip(out / np.maximum(weight, 0.5), 0, 1)
    return np.where(weight < 0.5, np.float32(IGNORE), mean).astype(np.float32)


def resize_mask(mask: np.ndarray, size: tuple[int, int], binarized: bool) -> np.ndarray:
    """Resize a mask by the rule of its kind; the values of one mask do not decide its kind.

    * A soft mask (float): :func:`resize_soft`.
    * A mask that ``BinarizeMask`` has cut: :func:`resize_soft`, then foreground where the result
      is at least 0.5. An image of the mask (0 and 255), resized bilinearly and cut at > 127, is
      the same to the pixel: 127.5, halfway, becomes 128. So the published scores cut (> 0.5 of
      the resized 8-bit mask), and so a network that reproduces what it sees scores 100.
    * Anything else is a map of labels: the label of the nearest pixel, centres on centres
      (``cv2.INTER_NEAREST_EXACT``; OpenCV's plain nearest lies half a pixel off that grid).

    Method section 7, row i.

    Args:
        mask: Shape (H, W), or (H, W, C) for labels that are stored as colours.
        size: New (height, width).
        binarized: Whether an integer mask holds 0, 1 and 255 (ignored) by ``BinarizeMask``.

    Returns:
        np.ndarray: The same dtype, shape ``size`` (+ C).
    """
    if mask.shape[:2] == tuple(size):
        return mask
    if np.issubdtype(mask.dtype, np.floating):
        return resize_soft(mask, size)
    if not binarized:
        return cv2.resize(mask, tuple(size)[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    share = resize_soft(mask, size)
    return np.where(share == IGNORE, IGNORE, share >= 0.5).astype(mask.dtype)


def _bilinear(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
