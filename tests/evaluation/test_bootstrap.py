"""Confidence intervals against SciPy and by hand."""

import numpy as np
import pytest
from scipy import stats

from condseg_mmseg.evaluation.bootstrap import bootstrap_interval, bootstrap_means

NAN = float('nan')


def test_against_scipy() -> None:
    values = np.random.default_rng(1).beta(5, 1, 90)
    low, high = bootstrap_interval(values[:, None], 4000)[:, 0]
    expected = stats.bootstrap(
        (values,), np.mean, n_resamples=4000, method='percentile', rng=np.random.default_rng(2)
    ).confidence_interval
    error = values.std() / np.sqrt(len(values))
    assert high - low > 3 * error
    assert low == pytest.approx(expected.low, abs=0.12 * error)
    assert high == pytest.approx(expected.high, abs=0.12 * error)


def test_each_resample_has_as_many_images_and_serves_all_scores() -> None:
    means = bootstrap_means(np.array([[0, 0], [1, 2], [1, 2]]), 3000)
    assert (means[:, 1] == 2 * means[:, 0]).all()
    thirds, counts = np.unique((3 * means[:, 0]).round(9), return_counts=True)
    assert thirds.tolist() == [0, 1, 2, 3]
    expected = np.array([1, 6, 12, 8]) / 27  # binomial(3, 2/3)
    assert counts / 3000 == pytest.approx(expected, abs=0.03)


def test_undefined_values_are_left_out() -> None:
    values = np.array([[1, NAN, 3], [5, NAN, NAN], [5, NAN, NAN]]).astype(float)
    means = bootstrap_means(values, 200)
    assert np.isnan(means[:, 1]).all()
    defined = means[:, 2][~np.isnan(means[:, 2])]
    assert 0 < len(defined) < 200
    assert (defined == 3).all()
    interval = bootstrap_interval(values, 200)
    assert interval[:, 2].tolist() == [3, 3]
    assert np.isnan(interval[:, 1]).all()
    assert interval[0, 0] < 11 / 3 < interval[1, 0]


def test_seed_and_level() -> None:
    values = np.random.default_rng(0).random((50, 1))
    assert (bootstrap_means(values, 20) == bootstrap_means(values, 20)).all()
    assert (bootstrap_means(values, 20) != bootstrap_means(values, 20, seed=1)).any()
    means = bootstrap_means(values, 500)[:, 0]
    assert bootstrap_interval(values, 500, level=0.5)[:, 0] == pytest.approx(
        np.percentile(means, [25, 75])
    )


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match=r'shape \(N, S\).*got \(0, 2\)'):
        bootstrap_means(np.zeros((0, 2)))
    with pytest.raises(ValueError, match='at least 1, got 0'):
        bootstrap_means(np.zeros((2, 1)), 0)
