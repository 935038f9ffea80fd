"""The interval over groups and seeds: by hand, against SciPy, and what it covers."""

import numpy as np
import pytest
from scipy import stats

from condseg_mmseg.evaluation.bootstrap import bootstrap_interval
from condseg_mmseg.evaluation.grouped_interval import mean_difference

# frames in the 15 odd-numbered sequences of CVC-ClinicDB, and 120 images that stand alone
VIDEOS = np.array([25, 17, 25, 25, 22, 22, 25, 20, 21, 25, 19, 12, 25, 25, 21])
IMAGES = np.ones(120, int)
SEEDS = 3


def test_a_balanced_case_by_hand() -> None:
    """Two seeds, three groups of two frames."""
    a = [[5, 7, 4, 6, 9, 11], [7, 9, 6, 8, 11, 13]]  # means of the seeds: 7 and 9
    b = [[4, 6, 4, 4, 5, 7], [4, 6, 4, 4, 5, 7]]  # 5 and 5
    result = mean_difference(a, b, groups=[1, 1, 2, 2, 3, 3])
    # group means of the difference: 7 - 5, 6 - 4, 11 - 6 = 2, 2, 5; variance 3, over 3 groups 1
    # seeds of A: variance of 7 and 9 is 2, over 2 seeds 1
    assert result.difference == pytest.approx(3)
    assert result.standard_error == pytest.approx(np.sqrt(2))
    assert result.seed_share == pytest.approx(0.5)
    assert result.degrees_of_freedom == pytest.approx(1 / (0.5 / 2 + 0.5 / 1))
    half = stats.t.ppf(0.975, 4 / 3) * np.sqrt(2)
    assert (result.low, result.high) == pytest.approx((3 - half, 3 + half))
    assert result.p_value == pytest.approx(2 * stats.t.sf(3 / np.sqrt(2), 4 / 3))


def test_fixed_seeds_and_frames_alone_are_the_paired_t_test() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random((1, 40)), rng.random((2, 40))
    result = mean_difference(a, b, fixed_seeds=True)
    expected = stats.ttest_rel(a[0], b.mean(0))
    assert result.p_value == pytest.approx(expected.pvalue)
    assert (result.low, result.high) == pytest.approx(tuple(expected.confidence_interval()))
    assert result.degrees_of_freedom == expected.df == 39


def test_same_groups_and_varying_seeds_are_the_test_of_welch() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(1, 1, (3, 1)), rng.normal(0, 3, (5, 1))
    result = mean_difference(a.repeat(8, 1), b.repeat(8, 1))
    expected = stats.ttest_ind(a[:, 0], b[:, 0], equal_var=False)
    assert result.p_value == pytest.approx(expected.pvalue)
    assert result.degrees_of_freedom == pytest.approx(expected.df)
    assert result.seed_share == pytest.approx(1)


def test_groups_of_unequal_size_by_the_jackknife() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(list('abcd'), (1, 7, 2, 4))
    a, b = rng.random((1, 14)), rng.random((1, 14))
    result = mean_difference(a, b, list(groups), fixed_seeds=True)
    d = (a - b)[0]
    left_out = np.array([d[groups != group].mean() for group in 'abcd'])
    assert result.difference == pytest.approx(d.mean())  # over frames
    assert result.standard_error**2 == pytest.approx(3 / 4 * ((left_out - d.mean()) ** 2).sum())
    # the variance of that, where the mean of each group is N(0, 1)
    w = np.array([1, 7, 2, 4]) / 14
    means = rng.normal(size=(200_000, 4))
    squares = 3 / 4 * (((means - means @ w[:, None]) * w / (1 - w)) ** 2).sum(1)
    df = 2 * squares.mean() ** 2 / squares.var()
    assert result.degrees_of_freedom == pytest.approx(df, rel=0.02)
    assert df < 2.5


def test_the_order_of_frames_and_the_names_of_groups_do_not_matter() -> None:
    rng = np.random.default_rng(0)
    a, b, order = rng.random((3, 20)), rng.random((3, 20)), rng.permutation(20)
    groups = np.arange(20) % 6
    names = [f'video {groups[i]}' for i in order]
    assert mean_difference(a[:, order], b[:, order], names) == pytest.approx(
        mean_difference(a, b, groups.tolist())
    )


def test_the_detectable_difference_is_found_with_the_power() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random((3, 30)), rng.random((3, 30))
    result = mean_difference(a, b, power=0.7, level=0.9)
    df, error = result.degrees_of_freedom, result.standard_error
    # a noncentral t beyond the quantile of the test, drawn
    shifted = rng.normal(result.detectable / error, 1, 100_000)
    drawn = shifted / np.sqrt(rng.chisquare(df, 100_000) / df)
    assert (drawn > stats.t.ppf(0.95, df)).mean() == pytest.approx(0.7, abs=0.01)


def test_equal_scores_differ_in_nothing() -> None:
    ones = np.ones((2, 4))
    result = mean_difference(ones, ones)
    assert result[:4] == (0, 0, 0, 0)
    assert (result.p_value, result.detectable, result.seed_share) == (1, 0, 0)
    assert mean_difference(ones, 0 * ones).p_value == 0


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'a': np.ones(4)}, r'a must have shape \(seeds, frames\), got \(4,\)'),
        ({'b': np.ones((2, 5))}, 'a has 4 frames and b 5'),
        ({'b': [[1, 2, np.nan, 3]] * 2}, 'b is not finite at frame 2'),
        ({'b': np.ones((1, 4))}, 'a has 2 and b 1 seeds.*fixed_seeds=True'),
        ({'groups': 'abc'}, 'groups has 3 entries for 4 frames'),
        ({'groups': 'aaaa'}, r"one group \('a'\) has no spread"),
        ({'level': 1.0}, r'between 0 and 1, got 1\.0'),
    ],
)
def test_wrong_arguments(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mean_difference(**({'a': np.ones((2, 4)), 'b': np.ones((2, 4))} | options))


# ------------------------------------------------------------------------------ simulation


def draw(rng: np.random.Generator, sizes: np.ndarray, spread: tuple, b_seeds: bool) -> tuple:
    """Scores of two equal methods, (SEEDS, N) each, and the group of each frame.

    Args:
        rng: Of the draws.
        sizes: Frames of each group.
        spread: Standard deviations: of the group in the difference, of the seed, of seed and group
            together, of the frame.
        b_seeds: Whether the seeds of B vary; else B is the same every time.
    """
    group, seed, both, frame = spread
    groups = np.repeat(np.arange(len(sizes)), sizes)
    number = len(groups)

    def trained() -> np.ndarray:
        return (
            rng.normal(0, seed, (SEEDS, 1))
            + rng.normal(0, both, (SEEDS, len(sizes)))[:, groups]
            + rng.normal(0, frame, (SEEDS, number))
        )

    shared = rng.normal(0, 5, number)  # hard and easy frames; pairing takes it out
    a = trained() + shared + rng.normal(0, group, len(sizes))[groups]
    a += rng.normal(0, frame, number)
    return a, (trained() if b_seeds else np.zeros((SEEDS, number))) + shared, groups


SPREADS = {
    'groups': (1, 0, 0, 0),
    'mostly groups': (1, 0.1, 0.1, 0.1),
    'all': (1, 0.3, 0.3, 1),
    'groups and seeds': (1, 0.35, 0, 0),
    'seeds': (0, 1, 0, 0),
    'seeds on groups': (0, 0, 1, 0),
    'seeds, and seeds on groups': (0, 0.3, 1, 0),
    'frames': (0, 0, 0, 1),
}


# An image that stands alone is its own group. Where no seed varies, no method does.
CASES = [
    *((name, VIDEOS, True) for name in SPREADS),
    *((name, VIDEOS, False) for name in SPREADS if name not in ('groups', 'frames')),
    *((name, IMAGES, both) for name in ('all', 'seeds') for both in (True, False)),
    ('frames', IMAGES, True),
]


@pytest.mark.parametrize(
    ('spread', 'sizes', 'b_seeds'),
    CASES,
    ids=[f'{n}, {"videos" if s is VIDEOS else "images"}, {"both" if b else "one"}'
         for n, s, b in CASES],
)  # fmt: skip
def test_it_covers(spread: str, sizes: np.ndarray, b_seeds: bool) -> None:
    """At least 93 % of the nominal 95 %. A true 92 % passes with a probability of 5 %."""
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(REPEATS):
        a, b, groups = draw(rng, sizes, SPREADS[spread], b_seeds)
        result = mean_difference(a, b, groups.tolist())
        inside += result.low <= 0 <= result.high
    assert inside / REPEATS >= 0.93


REPEATS = 2000


def test_the_bootstrap_over_frames_does_not() -> None:
    rng = np.random.default_rng(0)
    inside = 0
    for i in range(200):
        a, b, _ = draw(rng, VIDEOS, SPREADS['all'], True)
        low, high = bootstrap_interval((a.mean(0) - b.mean(0))[:, None], 200, seed=i)[:, 0]
        inside += low <= 0 <= high
    assert inside / 200 < 0.7
