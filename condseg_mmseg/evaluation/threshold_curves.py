"""Counts of a probability map at 256 thresholds, and the E-measure that is computed from them."""

from __future__ import annotations

import numpy as np

from .structure_measures import check_map

LEVELS = 256
"""Number of thresholds: t / 255 for t = 0..255. A pixel is foreground where p >= t / 255."""


def threshold_counts(probability: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Count true and false pixels at every threshold.

    Args:
        probability: Shape (H, W), in 0..1.
        target: True foreground, shape (H, W).

    Returns:
        np.ndarray: int64, shape (256, 4): tp, fp, fn, tn; row t for the threshold t / 255.
    """
    probability, target = check_map(probability, target)
    levels = np.floor(probability * (LEVELS - 1)).astype(np.int64)
    positive, negative = (
        np.bincount(levels[part], minlength=LEVELS)[::-1].cumsum()[::-1]
        for part in (target, ~target)
    )
    parts = (positive, negative, target.sum() - positive, (~target).sum() - negative)
    return np.stack(parts, axis=1).astype(np.int64)


def adaptive_counts(probability: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Count true and false pixels at the threshold that follows the map, min(1, 2 mean).

    A pixel is foreground where p >= threshold, as in the published evaluations: all of a map
    that is 0 everywhere.

    Args:
        probability: Shape (H, W), in 0..1.
        target: True foreground, shape (H, W).

    Returns:
        np.ndarray: int64, shape (4,): tp, fp, fn, tn.
    """
    probability, target = check_map(probability, target)
    positive = probability >= min(1.0, 2 * probability.mean())
    parts = (positive & target, positive & ~target, ~positive & target, ~positive & ~target)
    return np.array([part.sum() for part in parts], dtype=np.int64)


def e_measure(counts: np.ndarray) -> np.ndarray:
    r"""Compute the E-measure of binary maps from their counts.

    Fan et al., *Enhanced-alignment Measure for Binary Foreground Map Evaluation*, IJCAI 2018,
    equations 1 to 4, for a binary map b and the truth g::

        phi_b = b - mean(b), phi_g = g - mean(g)
        xi    = 2 phi_b phi_g / (phi_b^2 + phi_g^2)
        E     = mean of (1 + xi)^2 / 4

    Both maps have two values, so the mean is a sum over four kinds of pixels. E is the share of
    background in b for an empty truth and that of foreground for a full one. (The published code
    divides by the number of pixels less one, which makes a perfect map of 256 x 256 score
    1.000015.)

    Args:
        counts: Shape (..., 4): tp, fp, fn, tn.

    Returns:
        np.ndarray: Shape (...), 0 to 1 (perfect); NaN for an image without pixels.
    """
    tp, fp, fn, tn = np.moveaxis(np.asarray(counts, np.float64), -1, 0)
    with np.errstate(divide='ignore', invalid='ignore'):
        total = tp + fp + fn + tn
        mean_b, mean_g = (tp + fp) / total, (tp + fn) / total
        score = np.zeros_like(total)
        for count, b, g in ((tp, 1, 1), (fp, 1, 0), (fn, 0, 1), (tn, 0, 0)):
            phi_b, phi_g = b - mean_b, g - mean_g
            alignment = 2 * phi_b * phi_g / (phi_b**2 + phi_g**2)
            score += count * (1 + alignment) ** 2 / 4
        score = np.where(mean_g == 0, tn, np.where(mean_g == 1, tp, score))
        return score / total
