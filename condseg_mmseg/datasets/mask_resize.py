"""One rule for masks that change their size: bilinear on the image's grid, cut at 0.5."""

from __future__ import annotations

import cv2
import numpy as np

from ..utils.mask_values import IGNORE


def resize_soft(mask: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Resize a soft mask bilinearly, in steps of 1/255 as the released code does.

    The grid is that of ``cv2.INTER_LINEAR``, on which images are resized: centres of pixels.

    Args:
        mask: In [0, 1] or 255 (ignored), shape (H, W), float, or uint8 of 0, 1 and 255.
        size: New (height, width).

    Returns:
        np.ndarray: float32. Ignored pixels have no weight; where they would have more than half
        of it, the result is ignored.
    """
    ignored, target = mask == IGNORE, size[::-1]
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


def resize_mask(
    mask: np.ndarray, size: tuple[int, ...], labels: bool = False, name: str = '<array>'
) -> np.ndarray:
    """Resize a mask by the rule of its kind; method section 7, row i.

    * A soft mask (float): :func:`resize_soft`.
    * A mask of 0, 1 and 255 (ignored): :func:`resize_soft`, then foreground where the result is at
      least 0.5. An image of the mask (0 and 255), resized bilinearly and cut at > 127, is the same
      to the pixel: 127.5, halfway, becomes 128. So the published scores cut (> 0.5 of the resized
      8-bit mask), and so a network that reproduces what it sees scores 100.
    * With ``labels``: the label of the nearest pixel, centres on centres
      (``cv2.INTER_NEAREST_EXACT``; OpenCV's plain nearest lies half a pixel off that grid).

    Args:
        mask: Shape (H, W), or (H, W, C) for labels that are stored as colours.
        size: New (height, width).
        labels: An integer mask is a map of several labels. Default False.
        name: File, for the message. Default ``'<array>'``.

    Returns:
        np.ndarray: The same dtype, shape ``size`` (+ C).

    Raises:
        ValueError: For an integer mask with other values than 0, 1 and 255, without ``labels``.
    """
    soft = np.issubdtype(mask.dtype, np.floating)
    if not soft and not labels:
        _require_binary(mask, name)
    if mask.shape[:2] == tuple(size):
        return mask
    if soft:
        return resize_soft(mask, size)
    if labels:
        return cv2.resize(mask, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    share = resize_soft(mask, size)
    return np.where(share == IGNORE, IGNORE, share >= 0.5).astype(mask.dtype)


def _require_binary(mask: np.ndarray, name: str) -> None:
    wrong = (mask > 1) & (mask != IGNORE)
    if wrong.any():
        raise ValueError(
            f'{name}: the mask holds {np.unique(mask[wrong])[:10].tolist()} besides 0, 1 and '
            f'{IGNORE} (ignored): read it by LoadBinaryMask, before any resize, or give '
            'labels=True if these are classes'
        )


def _bilinear(image: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    return cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
