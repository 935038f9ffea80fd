"""Pictures that are nearly the same, among many, by a perceptual hash and a correlation.

small grey (32, 32) -> 64 signs of its lowest DCT coefficients -> pairs within few signs
                    -> high-passed greys of those pairs        -> correlation

The first step is a matrix product of signs, block by block, so that memory stays flat. The second
is needed because pictures of one modality share the frame and the light: on Kvasir-SEG hundreds
of pairs of different polyps differ in six signs or fewer. Low frequencies are taken out for the
same reason.
"""

from __future__ import annotations

import cv2
import numpy as np

_HASH_SIDE = 8  # the hash is _HASH_SIDE ** 2 signs
_SIGMA = 2.0  # pixels of the small grey; what is smoother than that is taken out
_FLAT = 0.5  # grey levels of detail below which there is nothing to compare
TURNS = (
    'as it is', 'turned by 90 degrees', 'turned by 180 degrees', 'turned by 270 degrees',
    'mirrored', 'mirrored and turned by 90 degrees', 'mirrored and turned by 180 degrees',
    'mirrored and turned by 270 degrees',
)  # fmt: skip
"""The eight ways in which a copy may lie."""


def turned(thumbs: np.ndarray, turn: int) -> np.ndarray:
    """Turn small greys (n, s, s) as :data:`TURNS` says, anticlockwise."""
    if turn >= 4:
        thumbs = thumbs[:, :, ::-1]
    return np.ascontiguousarray(np.rot90(thumbs, turn % 4, axes=(1, 2)))


def _hash_signs(thumbs: np.ndarray) -> np.ndarray:
    """Hash small greys (n, s, s): is a low frequency above the median of its picture?

    Returns:
        +1 and -1, (n, 64), float32. Half of 64 minus the product of two rows is the Hamming
        distance of their hashes.
    """
    n = _HASH_SIDE
    low = np.stack([cv2.dct(thumb.astype(np.float32))[:n, :n].ravel() for thumb in thumbs])
    median = np.median(low[:, 1:], axis=1, keepdims=True)  # without the mean brightness
    return np.where(low > median, np.float32(1), np.float32(-1))


def _details(thumbs: np.ndarray) -> np.ndarray:
    """High-pass small greys (n, s, s), so that the product of two is their correlation.

    Returns:
        (n, s * s), float32, of mean 0 and norm 1; zeros for a picture without detail.
    """
    greys = thumbs.astype(np.float32)
    rows = np.stack([(grey - cv2.GaussianBlur(grey, (0, 0), _SIGMA)).ravel() for grey in greys])
    rows -= rows.mean(1, keepdims=True)
    norm = np.linalg.norm(rows, axis=1, keepdims=True)
    rows /= np.where(norm < _FLAT * np.sqrt(rows.shape[1]), np.inf, norm)
    return rows


def near_pairs(
    thumbs: np.ndarray, distance: int = 10, correlation: float = 0.9, block: int = 512
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find all pairs of nearly equal pictures, in any of the eight positions.

    Args:
        thumbs: Small greys, (n, s, s), uint8.
        distance: Signs of 64 in which the hashes may differ. Default 10.
        correlation: Least correlation of the details. Default 0.9: found every copy that was
            re-encoded, resized, brightened or blurred, and nothing else, on 1000 real images.
        block: Rows compared at a time; memory is about ``8 * block * n`` bytes. Default 512.

    Returns:
        Pairs (m, 2) with i < j in rising order, their correlations (m,), and the index into
        :data:`TURNS` that brings the second onto the first (m,).
    """
    n, found = len(thumbs), []
    if n >= 2:
        signs, rows = _hash_signs(thumbs), _details(thumbs)
        for turn in range(len(TURNS)):
            other_signs = signs if turn == 0 else _hash_signs(turned(thumbs, turn))
            for start in range(0, n, block):
                product = signs[start : start + block] @ other_signs[start:].T
                near = product >= _HASH_SIDE**2 - 2 * distance
                i, j = (index + start for index in np.nonzero(np.triu(near, 1)))
                for part in range(0, len(i), 4096):
                    first, second = i[part : part + 4096], j[part : part + 4096]
                    other = turned(rows[second].reshape(-1, *thumbs.shape[1:]), turn)
                    value = np.einsum('nd,nd->n', rows[first], other.reshape(len(other), -1))
                    keep = value >= correlation
                    pairs = np.stack([first[keep], second[keep]], 1)
                    found.append((pairs, value[keep], np.full(keep.sum(), turn)))
    if not found:
        return np.zeros((0, 2), int), np.zeros(0), np.zeros(0, int)
    pairs, values, turns = (np.concatenate(parts) for parts in zip(*found, strict=True))
    # A symmetrical picture is found in several positions: the best one is kept.
    order = np.lexsort((-values, pairs[:, 1], pairs[:, 0]))
    order = order[np.unique(pairs[order], axis=0, return_index=True)[1]]
    return pairs[order], values[order], turns[order]


def mask_agreement(first: np.ndarray | None, second: np.ndarray | None) -> float | None:
    """Return the soft IoU of two small masks, (s, s), uint8, 255 = all; None without masks."""
    if first is None or second is None:
        return None
    union = np.maximum(first, second).sum(dtype=np.int64)
    return float(np.minimum(first, second).sum(dtype=np.int64) / union) if union else 1.0
