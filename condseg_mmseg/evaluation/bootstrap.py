"""Confidence intervals of means over images, by resampling the images."""

from __future__ import annotations

import warnings

import numpy as np


def bootstrap_means(values: np.ndarray, resamples: int = 1000, seed: int = 0) -> np.ndarray:
    """Average resamples of the images, drawn with replacement.

    All scores share the resamples. Memory grows with N + resamples, not with their product.

    Args:
        values: Shape (N, S): S scores of N images; NaN where undefined, which is left out.
        resamples: Number of resamples. Default 1000.
        seed: Of the draws. Default 0.

    Returns:
        np.ndarray: Shape (resamples, S); NaN where a resample holds no defined value.

    Raises:
        ValueError: If there is no image, or less than one resample.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 2 or not len(values):
        raise ValueError(f'values must have shape (N, S), N at least 1, got {values.shape}')
    if resamples < 1:
        raise ValueError(f'resamples must be at least 1, got {resamples}')
    defined = ~np.isnan(values)
    filled, defined = np.where(defined, values, 0.0).T, defined.T.astype(np.float64)  # (S, N)
    rng, number = np.random.default_rng(seed), len(values)
    sums = np.empty((resamples, 2, len(filled)))
    for i in range(resamples):
        times = np.bincount(rng.integers(number, size=number), minlength=number)
        sums[i] = filled @ times, defined @ times
    with np.errstate(invalid='ignore'):
        return sums[:, 0] / sums[:, 1]


def bootstrap_interval(
    values: np.ndarray, resamples: int = 1000, seed: int = 0, level: float = 0.95
) -> np.ndarray:
    """Compute the percentile interval of the mean over images (Efron, 1979).

    It says how far the mean would move with other images of the same kind, and nothing about
    other training runs.

    Args:
        values: Shape (N, S), NaN where undefined.
        resamples: Number of resamples. Default 1000.
        seed: Of the draws. Default 0.
        level: Share of the resampled means inside. Default 0.95.

    Returns:
        np.ndarray: Shape (2, S): lower and upper end; NaN for a score no image has.
    """
    means = bootstrap_means(values, resamples, seed)
    tail = (1 - level) / 2
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', 'All-NaN slice', RuntimeWarning)
        return np.nanquantile(means, [tail, 1 - tail], axis=0)
