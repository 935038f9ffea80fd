"""Counts at 256 thresholds, and the E-measure against its formula written as loops."""

import numpy as np
import pytest

from condseg_mmseg.evaluation.functional import confusion_counts
from condseg_mmseg.evaluation.threshold_curves import (
    adaptive_counts,
    e_measure,
    threshold_counts,
)


def e_by_loops(b: np.ndarray, g: np.ndarray) -> float:
    """Fan et al. 2018, equations 1 to 4, pixel by pixel."""
    n, mean_b, mean_g, total = b.size, 0.0, 0.0, 0.0
    for x, y in zip(b.ravel().tolist(), g.ravel().tolist(), strict=True):
        mean_b, mean_g = mean_b + x / n, mean_g + y / n
    for x, y in zip(b.ravel().tolist(), g.ravel().tolist(), strict=True):
        phi_b, phi_g = x - mean_b, y - mean_g
        xi = 2 * phi_g * phi_b / (phi_g * phi_g + phi_b * phi_b)
        total += (xi + 1) ** 2 / 4
    return total / n


def case(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    target = np.zeros((11, 13), bool)
    target[3:8, 4:10] = True
    return rng.integers(0, 256, target.shape) * 0.6 / 255 + 0.4 * target, target


def test_counts_against_single_thresholds() -> None:
    p, target = case()
    counts = threshold_counts(p, target)
    assert counts.shape == (256, 4)
    for t in (0, 1, 60, 128, 200, 255):
        expected = confusion_counts(p >= t / 255, target)
        assert counts[t].tolist() == expected.tolist()


@pytest.mark.parametrize('dtype', [np.float64, np.float32])
def test_values_of_8_bits_reach_their_own_threshold(dtype: type) -> None:
    values = (np.arange(256) / 255).astype(dtype)[None]
    counts = threshold_counts(values, np.ones((1, 256)))
    assert counts[:, 0].tolist() == list(range(256, 0, -1))


def test_e_measure_against_loops() -> None:
    for seed in range(3):
        p, target = case(seed)
        curve = e_measure(threshold_counts(p, target))
        for t in range(0, 256, 15):
            expected = e_by_loops((p >= t / 255).astype(float), target.astype(float))
            assert curve[t] == pytest.approx(expected, abs=1e-12)
        threshold = min(1, 2 * p.mean())
        expected = e_by_loops((p >= threshold).astype(float), target.astype(float))
        assert e_measure(adaptive_counts(p, target)) == pytest.approx(expected, abs=1e-12)


def test_e_measure_by_hand() -> None:
    # 4 pixels, two true, one of them found: b = 1000, g = 1100.
    # phi_b = 3/4 or -1/4, phi_g = 1/2 or -1/2.
    # xi of the found pixel: 2 * 3/8 / (9/16 + 1/4) = 12/13; of the missed one:
    # 2 * -1/8 / (1/16 + 1/4) = -4/5; of the two others 4/5.
    expected = ((25 / 13) ** 2 / 4 + (1 / 5) ** 2 / 4 + 2 * (9 / 5) ** 2 / 4) / 4
    assert e_measure(np.array([1, 0, 1, 2])) == pytest.approx(expected)


def test_e_measure_of_perfect_inverted_and_constant_maps() -> None:
    assert e_measure(np.array([5, 0, 0, 7])) == 1
    assert e_measure(np.array([0, 5, 7, 0])) == pytest.approx(0, abs=1e-15)
    assert e_measure(np.array([[7, 5, 0, 0], [0, 0, 7, 5]])).tolist() == [0.25, 0.25]


def test_e_measure_without_object_or_background() -> None:
    counts = [[0, 3, 0, 9], [9, 0, 3, 0], [0, 0, 0, 4], [0, 4, 0, 0], [0, 0, 0, 0]]
    result = e_measure(np.array(counts))
    assert result[:4].tolist() == [0.75, 0.75, 1, 0]
    assert np.isnan(result[4])


def test_adaptive_threshold_by_hand() -> None:
    p, target = np.array([[0, 0.25, 0.25, 0.5]]), np.array([[0, 0, 1, 1]])  # twice the mean: 0.5
    assert adaptive_counts(p, target).tolist() == [1, 0, 1, 2]
    # a bright map: not above 1; a map of zeros is all foreground, as published
    assert adaptive_counts(np.array([[1, 1, 1, 0.9]]), target).tolist() == [1, 2, 1, 0]
    assert adaptive_counts(np.zeros((1, 4)), target).tolist() == [2, 2, 0, 0]
