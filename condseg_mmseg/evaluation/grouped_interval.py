"""Interval and test of a mean difference over frames that come in groups, and over seeds."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ..utils.extras import require


class MeanDifference(NamedTuple):
    """What :func:`mean_difference` finds, in the unit of the scores."""

    difference: float
    """Mean of A minus mean of B over all frames and seeds."""
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end of the interval."""
    standard_error: float
    """Of the difference, over groups and seeds."""
    degrees_of_freedom: float
    """Of the t distribution that gives interval and test."""
    detectable: float
    """Smallest true difference that the test finds with the wanted power."""
    p_value: float
    """Two-sided, of the hypothesis that the true difference is 0."""
    seed_share: float
    """Share of the squared standard error that comes from the seeds, 0 to 1."""


def mean_difference(
    a: ArrayLike,
    b: ArrayLike,
    groups: Sequence[Hashable] | None = None,
    *,
    level: float = 0.95,
    power: float = 0.8,
    fixed_seeds: bool = False,
) -> MeanDifference:
    """Estimate the difference of two methods on new groups and for new trainings.

    The estimand is ``E[sum of d] / E[n]`` over the population of groups (videos) and of trainings:
    ``n`` frames of a group, ``d`` the score of A less that of B on a frame, both averaged over
    seeds. This is the mean over frames, as mDice is; a group counts by its number of frames.
    Frames pair the methods. Seeds do not: seed 0 of A and seed 0 of B share nothing.

    Three independent parts make the squared standard error:

    * groups: delete-one-group jackknife of the difference averaged over seeds. In groups of equal
      size it is the variance of the groups' means over their number.
    * seeds of A, and seeds of B: variance of the mean scores of the seeds over their number.

    What depends on group and seed together is in both parts, so the error is never too small for
    it (and at most by a factor of sqrt(2) too large). The interval is that of a t distribution with

        1 / df = share_groups / df_groups + share_seeds / df_seeds

    ``df_groups`` allows for groups of unequal size (Bell and McCaffrey, 2002; G - 1 for G equal
    ones), ``df_seeds`` is that of Welch, between the smaller number of seeds less one and the sum
    of both. Satterthwaite's formula would square the shares. With 3 seeds its intervals cover only
    92 % where the seeds of one method vary and those of the other do not; tests/evaluation has a
    simulation.

    Args:
        a: Scores of method A, shape (seeds, frames).
        b: Scores of method B, shape (seeds, frames), the same frames in the same order. The number
            of seeds may differ.
        groups: Group of each frame, N hashable values. Default None: each frame is its own group.
        level: Coverage of the interval. Default 0.95; the test is at 1 - level.
        power: With which ``detectable`` is found. Default 0.8.
        fixed_seeds: Compare these trained networks, not the methods: the spread of the seeds is
            left out. It is needed where a method has one seed. Default False.

    Returns:
        MeanDifference: In the unit of the scores.

    Raises:
        MissingPackage: SciPy (extra ``metrics``) is not there.
        ValueError: Shapes that do not fit, a score that is not finite, fewer than two groups, one
            seed without ``fixed_seeds``, or a level or power outside (0, 1).
    """
    a, b = _checked('a', a), _checked('b', b)
    if a.shape[1] != b.shape[1]:
        raise ValueError(f'a has {a.shape[1]} frames and b {b.shape[1]}: they must be the same')
    if not (0 < level < 1 and 0 < power < 1):
        raise ValueError(f'level and power lie between 0 and 1, got {level} and {power}')
    if min(len(a), len(b)) < 2 and not fixed_seeds:
        raise ValueError(
            f'a has {len(a)} and b {len(b)} seeds: the spread over seeds needs two of each; '
            'fixed_seeds=True compares the trained networks only'
        )
    members = _membership(a.shape[1], groups)
    sizes = np.bincount(members).astype(np.float64)  # (G,)
    means = np.bincount(members, a.mean(0) - b.mean(0)) / sizes  # (G,)
    shares = sizes / sizes.sum()
    difference = float(shares @ means)
    variance, df = _over_groups(means - difference, shares)
    seeds = 0.0
    if not fixed_seeds:
        parts = [scores.mean(1).var(ddof=1) / len(scores) for scores in (a, b)]
        seeds = sum(parts)
        if seeds > 0:
            welch = sum(v**2 / (len(s) - 1) for v, s in zip(parts, (a, b), strict=True)) / seeds
            # welch = seeds / df_seeds, the share over the df times the whole variance
            df = (variance + seeds) / (variance / df + welch)
    return _by_t(difference, variance + seeds, df, seeds, level, power)


def _by_t(
    difference: float, variance: float, df: float, seeds: float, level: float, power: float
) -> MeanDifference:
    require('scipy.stats', 'the interval over groups', 'metrics')
    from scipy import special, stats

    error = float(np.sqrt(variance))
    quantile = float(stats.t.isf((1 - level) / 2, df))
    # the shift of the noncentral t that exceeds the quantile with this power
    shift = float(special.nctdtrinc(df, 1 - power, quantile))
    if error > 0:
        p_value = float(2 * stats.t.sf(abs(difference) / error, df))
    else:
        p_value = float(difference == 0)
    return MeanDifference(
        difference,
        difference - quantile * error,
        difference + quantile * error,
        error,
        float(df),
        shift * error,
        p_value,
        float(seeds / variance) if variance > 0 else 0.0,
    )


def _over_groups(residuals: np.ndarray, shares: np.ndarray) -> tuple[float, float]:
    """Variance of the weighted mean by the delete-one-group jackknife, and its df.

    Args:
        residuals: Mean of each group less the mean over all frames, (G,).
        shares: Share of the frames in each group, (G,).

    Returns:
        Variance, and degrees of freedom where the means of all groups vary alike: twice the squared
        expectation over the variance of this quadratic form.
    """
    number = len(shares)
    weights = (number - 1) / number * (shares / (1 - shares)) ** 2
    variance = float(weights @ residuals**2)
    if np.ptp(shares) == 0:
        return variance, number - 1.0
    square = shares @ shares
    covariance = np.eye(number) - shares[:, None] - shares + square  # of the residuals, (G, G)
    trace = weights @ np.diag(covariance)
    return variance, float(trace**2 / (weights @ covariance**2 @ weights))


def _checked(name: str, scores: ArrayLike) -> np.ndarray:
    result = np.asarray(scores, np.float64)
    if result.ndim != 2 or result.size == 0:
        raise ValueError(f'{name} must have shape (seeds, frames), got {result.shape}')
    if not np.isfinite(result).all():
        frame = int(np.flatnonzero(~np.isfinite(result).all(0))[0])
        raise ValueError(f'{name} is not finite at frame {frame}: leave it out of both methods')
    return result


def _membership(frames: int, groups: Sequence[Hashable] | None) -> np.ndarray:
    """Index of the group of each frame, (N,)."""
    if groups is None:
        groups = range(frames)
    if len(groups) != frames:
        raise ValueError(f'groups has {len(groups)} entries for {frames} frames')
    index: dict[Hashable, int] = {}
    members = np.array([index.setdefault(group, len(index)) for group in groups])
    if len(index) < 2:
        raise ValueError(f'one group ({next(iter(index))!r}) has no spread: two are needed')
    return members
