"""Structure measure, weighted F and mean absolute error of one probability map."""

from __future__ import annotations

import math

import numpy as np

_REACH, _SIGMA = 3, 5.0  # half width and deviation of the weighted F's Gaussian, in pixels
_HALF_LIFE = 5.0  # pixels over which the surplus weight of a false alarm near the object halves


def check_map(probability: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Check a probability map and its truth.

    Args:
        probability: Probability of the foreground, shape (H, W), in 0..1.
        target: True foreground, shape (H, W), bool or 0/1.

    Returns:
        tuple[np.ndarray, np.ndarray]: The map as float64 and the truth as bool.

    Raises:
        ValueError: If the shapes differ, are not two-dimensional or empty, or a value lies
            outside 0..1.
    """
    probability, target = np.asarray(probability, np.float64), np.asarray(target).astype(bool)
    if probability.shape != target.shape or probability.ndim != 2 or not probability.size:
        raise ValueError(
            'probability and target must have the same shape (H, W), got '
            f'{probability.shape} and {target.shape}'
        )
    low, high = probability.min(), probability.max()
    if not (low >= 0 and high <= 1):  # also true for NaN
        raise ValueError(f'probabilities must lie in 0..1, got values from {low:g} to {high:g}')
    return probability, target


def normalize_map(probability: np.ndarray) -> np.ndarray:
    """Stretch a map so that its least value becomes 0 and its greatest 1.

    PraNet's evaluation does this to every map. It raises the scores of uncertain maps, and finds
    foreground in every image. A constant map stays as it is.

    Args:
        probability: Shape (H, W).

    Returns:
        np.ndarray: The stretched map, float64.
    """
    probability = np.asarray(probability, np.float64)
    low, high = probability.min(), probability.max()
    return probability if high == low else (probability - low) / (high - low)


def mean_absolute_error(
    probability: np.ndarray, target: np.ndarray, valid: np.ndarray | None = None
) -> float:
    """Average the absolute difference between map and truth (MAE).

    Args:
        probability: Shape (H, W), in 0..1.
        target: True foreground, shape (H, W).
        valid: Pixels that count, shape (H, W). Default None: all.

    Returns:
        float: 0 (right) to 1; NaN where no pixel counts.
    """
    probability, target = check_map(probability, target)
    error = np.abs(probability - target)
    error = error if valid is None else error[valid]
    return float(error.mean()) if error.size else math.nan


def s_measure(probability: np.ndarray, target: np.ndarray, alpha: float = 0.5) -> float:
    r"""Compare the structure of a map with that of the truth (S-measure).

    Fan et al., *Structure-measure: A New Way to Evaluate Foreground Maps*, ICCV 2017::

        S   = alpha * S_o + (1 - alpha) * S_r, not below 0
        S_o = share * O(p on the object) + (1 - share) * O(1 - p off the object)
        O   = 2 m / (m^2 + 1 + s)            m mean, s deviation (n - 1) of the values
        S_r = sum of w_k ssim_k over the four blocks around the object's centroid, by area

        ssim = 4 mp mg cov / ((mp^2 + mg^2) (vp + vg)); 1 where that is 0 / 0

    ``share`` is that of the true foreground. The map's mean replaces S for a truth that is all
    foreground, one minus its mean for an empty truth.

    Args:
        probability: Shape (H, W), in 0..1.
        target: True foreground, shape (H, W).
        alpha: Weight of the object part. Default 0.5.

    Returns:
        float: 0 to 1 (perfect).
    """
    probability, target = check_map(probability, target)
    share = target.mean()
    if share in (0, 1):
        return float(probability.mean() if share else 1 - probability.mean())
    inside, outside = _closeness(probability[target]), _closeness(1 - probability[~target])
    score = alpha * (share * inside + (1 - share) * outside)
    return float(max(0.0, score + (1 - alpha) * _region(probability, target)))


def _closeness(values: np.ndarray) -> float:
    """How near values, which should all be 1, come to that."""
    mean = values.mean()
    deviation = values.std(ddof=1) if values.size > 1 else 0.0
    return 2 * mean / (mean**2 + 1 + deviation)


def _region(probability: np.ndarray, target: np.ndarray) -> float:
    # The first block ends with the pixel nearest to the centroid, halves rounded up.
    y, x = (math.floor(np.nonzero(target)[axis].mean() + 0.5) + 1 for axis in (0, 1))
    total = 0.0
    for rows in (slice(None, y), slice(y, None)):
        for columns in (slice(None, x), slice(x, None)):
            part = target[rows, columns]
            if part.size:
                total += part.size * _ssim(probability[rows, columns], part.astype(np.float64))
    return total / target.size


def _ssim(x: np.ndarray, y: np.ndarray) -> float:
    mean_x, mean_y = x.mean(), y.mean()
    # Rounding must not give a flat block a variance: 0 / 0 is decided below.
    variance_x = 0.0 if x.min() == x.max() else ((x - mean_x) ** 2).mean()
    variance_y = ((y - mean_y) ** 2).mean()  # of 0 and 1: exactly 0 where flat
    covariance = ((x - mean_x) * (y - mean_y)).mean()
    above = 4 * mean_x * mean_y * covariance
    below = (mean_x**2 + mean_y**2) * (variance_x + variance_y)
    return float(above / below) if below else 1.0


def weighted_f_measure(probability: np.ndarray, target: np.ndarray) -> float:
    r"""Compute the weighted F-measure, beta = 1.

    Margolin et al., *How to Evaluate Foreground Maps?*, CVPR 2014, in the form of their released
    code, which all published numbers come from. With the error E = abs(p - g), the distance d of
    a pixel to the object and E' = E with the error of the nearest object pixel outside of it::

        Ew = min(E, 7 x 7 Gaussian (deviation 5, 0 beyond the image) of E')   on the object
        Ew = E (2 - 0.5^(d / 5))                                              off the object
        R  = 1 - mean of Ew on the object
        P  = TP / (TP + FP), TP = sum of 1 - Ew on the object, FP = sum of Ew off it
        F  = 2 P R / (P + R)

    Needs SciPy.

    Args:
        probability: Shape (H, W), in 0..1.
        target: True foreground, shape (H, W).

    Returns:
        float: 0 to 1 (perfect); NaN for an empty truth, where it is not defined.
    """
    from scipy import ndimage

    probability, target = check_map(probability, target)
    if not target.any():
        return math.nan
    error = np.abs(probability - target)
    distance, nearest = ndimage.distance_transform_edt(~target, return_indices=True)
    smooth = error[tuple(nearest)]
    kernel = np.exp(-(np.arange(-_REACH, _REACH + 1) ** 2) / (2 * _SIGMA**2))
    for axis in (0, 1):
        smooth = ndimage.correlate1d(smooth, kernel / kernel.sum(), axis, mode='constant')
    inside = np.minimum(error, smooth)[target]
    outside = (error * (2 - 0.5 ** (distance / _HALF_LIFE)))[~target]
    recall, hit = 1 - inside.mean(), (1 - inside).sum()
    if hit <= 0:
        return 0.0
    precision = hit / (hit + outside.sum())
    return float(2 * precision * recall / (precision + recall))
