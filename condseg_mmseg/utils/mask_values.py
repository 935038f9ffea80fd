"""What the values of a mask file mean: 0/1, 0/255 or labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import cv2
import numpy as np

IGNORE = 255
"""Label that mmseg leaves out of losses and scores."""

_BORDER = 0.9  # share of the outermost pixels from which a large foreground looks inverted
_FULL = 0.999  # share of foreground in the picture from which a mask is full
_FEW = 0.001  # share of pixels that may be anything


def to_grey(mask: np.ndarray) -> np.ndarray:
    """Reduce a decoded mask to one channel.

    Args:
        mask: Shape (H, W), or (H, W, C) in the order of OpenCV: grey + alpha (C = 2), BGR (3) or
            BGRA (4). Alpha is dropped.

    Returns:
        np.ndarray: The luminance, shape (H, W), uint8.

    Raises:
        ValueError: If ``mask`` has any other shape.
    """
    if mask.ndim == 2:
        return mask
    if mask.ndim == 3 and mask.shape[2] in (1, 2):
        return np.ascontiguousarray(mask[..., 0])
    if mask.ndim == 3 and mask.shape[2] in (3, 4):
        return cv2.cvtColor(np.ascontiguousarray(mask[..., :3]), cv2.COLOR_BGR2GRAY)
    raise ValueError(f'a mask has shape (H, W) or (H, W, 1..4), got {mask.shape}')


def colours(mask: np.ndarray) -> np.ndarray:
    """Drop the alpha channel of a decoded mask.

    Args:
        mask: As in :func:`to_grey`.

    Returns:
        np.ndarray: Shape (H, W, 1) or (H, W, 3), a view.
    """
    return mask[..., None] if mask.ndim == 2 else mask[..., : 1 if mask.shape[2] < 3 else 3]


def highest_value(mask: np.ndarray) -> int:
    """Return the highest value of any colour channel, 0 for an empty array.

    Args:
        mask: As in :func:`to_grey`; alpha does not count.
    """
    return int(colours(mask).max(initial=0))


def _histogram(values: np.ndarray) -> np.ndarray:
    """Count the values 0..255; ten times faster than ``np.bincount``."""
    if not values.size:
        return np.zeros(256, np.int64)
    counts = cv2.calcHist([np.ascontiguousarray(values)], [0], None, [256], [0, 256])
    return counts.ravel().astype(np.int64)


def channel_max(mask: np.ndarray) -> np.ndarray:
    """Take the largest colour channel of a decoded mask, so that no dark label becomes 0.

    Args:
        mask: As in :func:`to_grey`.

    Returns:
        np.ndarray: Shape (H, W), uint8.
    """
    if mask.ndim == 3 and mask.shape[2] in (3, 4):
        return mask[..., :3].max(2)
    return to_grey(mask)


def one_channel(mask: np.ndarray) -> np.ndarray:
    """Drop the channels of a grey mask saved in colour, which are all the same; saves time.

    Args:
        mask: As in :func:`to_grey`; one with alpha is returned as it is.
    """
    if mask.ndim == 3 and mask.shape[2] == 3:
        first, *others = cv2.split(mask)
        if all(np.array_equal(first, other) for other in others):
            return first
    return mask


def misfit(
    mask: np.ndarray, mode: str = 'auto', threshold: int = 127, ignore_index: int | None = None
) -> str:
    """Say why a decoded mask cannot be read in a mode.

    The data set, the data doctor and ``condseg prepare`` ask here, so that they refuse the same.

    Args:
        mask: As in :func:`to_grey`.
        mode: ``'auto'``, ``'threshold'`` or ``'nonzero'``, as in ``LoadBinaryMask``.
        threshold: Of the mode ``'threshold'``. Default 127.
        ignore_index: Value that is ignored, in every channel of a pixel. Default None.

    Returns:
        str: One sentence with the remedy, or an empty string.
    """
    if only_in_alpha(mask):
        return 'only its alpha channel varies, which is not read; store the mask in grey'
    mask = one_channel(mask)
    if ignore_index is not None:
        ignored = (colours(mask) == ignore_index).all(2)
        mask = np.where(ignored if mask.ndim == 2 else ignored[..., None], np.uint8(0), mask)
    if mode == 'auto':
        try:
            mask_scale(mask)
        except ValueError as error:
            return str(error).removeprefix('<array>: ')
        return ''
    if mode == 'nonzero':
        highest = channel_max(mask)
        return suspicion(highest, None) or _without_background(mask, highest)
    return suspicion(to_grey(mask), threshold) or bright_background(mask, threshold)


def only_in_alpha(mask: np.ndarray) -> bool:
    """Whether a mask of 2 or 4 channels is of one colour, and its alpha is not."""
    if mask.ndim == 2 or mask.shape[2] not in (2, 4):
        return False
    varies = (mask != mask[:1, :1]).any((0, 1))
    return bool(varies[-1] and not varies[:-1].any())


def bright_background(mask: np.ndarray, threshold: int) -> str:
    """Say whether bright colours would be background, as blue is: masks of two colours."""
    if mask.ndim == 2 or mask.shape[2] < 3:
        return ''
    lost = (to_grey(mask) <= threshold) & (channel_max(mask) > max(threshold, 64))
    share = lost.mean()
    if share < _FEW:
        return ''
    return (
        f'{100 * share:.1f} % of its pixels have a bright colour that would be background, as its '
        'luminance is low; store the mask in grey'
    )


def _without_background(mask: np.ndarray, highest: np.ndarray) -> str:
    """Say whether every pixel would be foreground, though there are several values."""
    if not highest.size or not highest.all():
        return ''
    flat = colours(mask).reshape(-1, colours(mask).shape[2])
    if not (flat != flat[0]).any(1).mean() >= _FEW:
        return ''
    return 'no pixel is 0, so that all its values would be foreground; make the background 0'


def suspicion(values: np.ndarray, threshold: int | None) -> str:
    """Say why the values of a mask do not look as the chosen mode expects them.

    Measured on the real sets: Kvasir-SEG (JPEG) has no pixel in 32..223, at most 0.5 % at any one
    value of 1..254 and 16 or more distinct values; GlaS has labels 0..32.

    Args:
        values: Grey mask, shape (H, W), uint8.
        threshold: Cut of the threshold mode, or None for the mode ``nonzero``.

    Returns:
        str: One sentence with the remedy, or an empty string.
    """
    hist = _histogram(values)
    if threshold is not None:
        return _unlike_0_255(hist, threshold)
    present = np.flatnonzero(hist)
    soft = np.count_nonzero(hist[32:255])
    if soft >= 4 and hist[224:].sum() >= 0.5 * hist[1:].sum():
        return (
            f'it has {len(present)} grey values, most of them near 255, like a JPEG or a '
            "soft mask; use LoadBinaryMask(mode='threshold')"
        )
    pairs = (values[:, 1:] > 0) & (values[:, :-1] > 0)
    equal = (values[:, 1:] == values[:, :-1])[pairs]
    if len(present) > 64 and equal.size and equal.mean() < 0.75:
        return f'it has {len(present)} values without areas of one label; is it a mask?'
    return ''


def _unlike_0_255(hist: np.ndarray, threshold: int) -> str:
    total, low = hist.sum(), 1 + int(hist[1:32].argmax())
    if not hist[1:].any():
        return ''
    if not hist[threshold + 1 :].any():
        return (
            f'its highest value is {np.flatnonzero(hist)[-1]}, so no pixel is foreground at '
            f"threshold {threshold}; for a label mask use LoadBinaryMask(mode='nonzero')"
        )
    # the black bars of a film may be 11, with noise around it
    few = np.count_nonzero(hist) < 16 or hist[low] > hist[224:].sum()
    if few and min(hist[0], hist[low]) > 0.05 * total:
        return (
            f'{100 * hist[low] / total:.0f} % of its pixels are exactly {low}, like a '
            "label; for a label mask use LoadBinaryMask(mode='nonzero')"
        )
    grey = hist[32:224].sum() / total
    if grey > 0.1:
        return f'{100 * grey:.0f} % of its pixels are neither near 0 nor near 255; is it a mask?'
    return ''


def mask_kind(share: float, border: float) -> str | None:
    """Name what is odd about the foreground of a mask.

    Args:
        share: Of the foreground in the picture, 0..1.
        border: The same of the outermost pixels.

    Returns:
        ``'mask-empty'``, ``'mask-full'``, ``'mask-inverted'`` or None for a usual mask.
    """
    if share == 0:
        return 'mask-empty'
    if share > _FULL:
        return 'mask-full'
    return 'mask-inverted' if share > 0.5 and border > _BORDER else None


def set_problem(kinds: Iterable[str | None]) -> str:
    """Say what is wrong with a set of masks of which no single one need be wrong.

    Args:
        kinds: Of each mask, as :func:`mask_kind` returns it.

    Returns:
        str: One sentence if there are at least two masks, and all are empty, all are full, none
        has both foreground and background, or most look inverted; else an empty string.
    """
    found = Counter(kinds)
    number, empty, full = found.total(), found['mask-empty'], found['mask-full']
    if number < 2:
        return ''
    if empty + full == number:
        what = 'empty' if empty == number else 'full' if full == number else 'empty or full'
        return f'all {number} masks are {what}: they, or the way they are read, are wrong'
    if 2 * found['mask-inverted'] > number:
        return (
            f'{found["mask-inverted"]} of {number} masks look inverted: their foreground is most '
            'of the picture and of its rim; make the background 0'
        )
    return ''


def mask_scale(mask: np.ndarray, name: str = '') -> int:
    """Tell a 0/1 mask from a 0/255 mask.

    Args:
        mask: As decoded from the file, see :func:`to_grey`.
        name: File, for the message. Default ``''``.

    Returns:
        int: 1 where no value exceeds 1 (an empty mask too), 255 for a mask of 0 and 255, with JPEG
        noise or a soft rim allowed.

    Raises:
        ValueError: For anything else, such as labels, or an empty mask with noise above 1, which
            may be labels.
    """
    if highest_value(mask) <= 1:
        return 1
    hist = _histogram(to_grey(mask))
    reason = _unlike_0_255(hist, 127) or _labels_with_255(hist) or bright_background(mask, 127)
    if reason:
        raise ValueError(
            f'{name or "<array>"}: neither a mask of 0 and 1 nor one of 0 and 255: '
            f"{reason.split(';')[0]}. For labels use LoadBinaryMask(mode='nonzero'); store an "
            'empty mask with noise as zeros'
        )
    return 255


def _labels_with_255(hist: np.ndarray) -> str:
    """Say whether the values are low labels and 255: noise would lie on both sides.

    None of 1020 real masks (Kvasir-SEG, ISIC) has values in 1..31 and 255, but none in 32..254.
    """
    if hist[1:32].any() and hist[255] and not hist[32:255].any():
        low = 1 + int(hist[1:32].argmax())
        return f'its only values besides 0 and 255 are low ones such as {low}, like labels'
    return ''
