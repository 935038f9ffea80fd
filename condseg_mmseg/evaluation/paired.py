"""The paired comparison of one score of the same images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..utils.extras import require
from .extra_scores import EXTRA_SCORES
from .grouped_interval import MeanDifference, mean_difference

EQUAL = 1e-9
"""Differences up to this are equal: the files hold every digit."""


def higher_is_better(score: str) -> bool:
    """Whether more of a score is better."""
    return score not in EXTRA_SCORES or EXTRA_SCORES[score].higher_is_better


def wilcoxon_p(differences: np.ndarray) -> float:
    """Two-sided p-value of the Wilcoxon signed-rank test; equal pairs do not count.

    Differences of equal size share their mean rank. Without any pair that differs, p is 1.

    Args:
        differences: Shape (N,).

    Raises:
        MissingPackage: SciPy does not import.
    """
    require('scipy.stats', 'the Wilcoxon test', 'metrics')
    from scipy.stats import wilcoxon

    differences = np.where(np.abs(differences) <= EQUAL, 0, differences)
    if not differences.any():
        return 1.0
    return float(wilcoxon(differences, zero_method='wilcox').pvalue)


def over_groups(
    a: np.ndarray, b: np.ndarray, groups: Sequence[str] | None = None
) -> MeanDifference | None:
    """Estimate B - A for new groups, and for new trainings where both sides have several seeds.

    Args:
        a: One score of joined images, shape (seeds, N); an image with NaN is left out.
        b: Of the other, shape (seeds, N).
        groups: Group of each image. Default None: every image is its own.

    Returns:
        As of :func:`.grouped_interval.mean_difference`; None where fewer than two groups are left.
    """
    defined = ~(np.isnan(a).any(0) | np.isnan(b).any(0))
    kept = [
        group for group, keep in zip(groups or range(len(defined)), defined, strict=True) if keep
    ]
    if len(set(kept)) < 2:
        return None
    few = min(len(a), len(b)) < 2
    return mean_difference(b[:, defined], a[:, defined], kept, fixed_seeds=few)


def compare_score(a: np.ndarray, b: np.ndarray, score: str, interval: np.ndarray) -> dict[str, Any]:
    """Compare one score of joined images.

    Args:
        a: Of one run, shape (N,), NaN where undefined: such a pair is left out and counted.
        b: Of the other.
        score: Its name.
        interval: Lower and upper end of the mean difference.

    Returns:
        ``pairs``, ``left_out``, ``higher_is_better``, ``mean_a``, ``mean_b``,
        ``mean_difference`` (B - A), ``interval``, ``p_wilcoxon`` (these None without a pair),
        ``b_better``, ``equal`` and ``a_better`` (numbers of images).
    """
    defined = ~(np.isnan(a) | np.isnan(b))
    a, b = a[defined], b[defined]
    gain = b - a if higher_is_better(score) else a - b
    some = bool(defined.any())
    return dict(
        pairs=int(defined.sum()),
        left_out=int((~defined).sum()),
        higher_is_better=higher_is_better(score),
        mean_a=float(a.mean()) if some else None,
        mean_b=float(b.mean()) if some else None,
        mean_difference=float((b - a).mean()) if some else None,
        interval=[float(end) for end in interval] if some else None,
        p_wilcoxon=wilcoxon_p(b - a) if some else None,
        b_better=int((gain > EQUAL).sum()),
        equal=int((np.abs(gain) <= EQUAL).sum()),
        a_better=int((gain < -EQUAL).sum()),
    )
