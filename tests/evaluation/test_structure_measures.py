"""S-measure, weighted F and MAE against hand values and against the formulas written as loops."""

import math

import numpy as np
import pytest
from scipy import ndimage

from condseg_mmseg.evaluation.structure_measures import (
    mean_absolute_error,
    normalize_map,
    s_measure,
    weighted_f_measure,
)


def truth(kind: str, shape: tuple = (17, 23)) -> np.ndarray:
    """Make a mask in which the object pixel nearest to any near pixel is unique."""
    target = np.zeros(shape, bool)
    if kind == 'inside':
        target[5:11, 6:15] = True
    elif kind == 'two':
        target[2:5, 2:6] = target[13:17, 17:23] = True  # the second one at the border
    elif kind == 'corner':
        target[:4, :3] = True
    elif kind == 'last column':
        target[:, -1] = True
    elif kind == 'pixel':
        target[7, 9] = True
    return target


KINDS = ('inside', 'two', 'corner', 'last column', 'pixel')


def random_map(target: np.ndarray, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.clip(0.6 * target + rng.random(target.shape) * 0.5 - 0.05, 0, 1)


# --------------------------------------------------------------------------- the formulas


def s_by_loops(p: np.ndarray, g: np.ndarray) -> float:
    """Fan et al. 2017, alpha = 0.5, pixel by pixel."""
    height, width = g.shape
    pixels = [(y, x) for y in range(height) for x in range(width)]
    inside = [q for q in pixels if g[q]]
    outside = [q for q in pixels if not g[q]]

    def object_part(values: list) -> float:
        mean = math.fsum(values) / len(values)
        variance = 0.0
        if len(values) > 1:
            variance = math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1)
        return 2 * mean / (mean**2 + 1 + 2 * 0.5 * math.sqrt(variance))

    share = len(inside) / len(pixels)
    s_object = share * object_part([p[q] for q in inside])
    s_object += (1 - share) * object_part([1 - p[q] for q in outside])

    # the centroid, counted from 1 as in the publication
    cy = int(math.fsum(y + 1 for y, _ in inside) / len(inside) + 0.5)
    cx = int(math.fsum(x + 1 for _, x in inside) / len(inside) + 0.5)
    s_region = 0.0
    for upper in (True, False):
        for left in (True, False):
            block = [(y, x) for y, x in pixels if (y < cy) == upper and (x < cx) == left]
            if not block:
                continue
            n = len(block)
            mp = math.fsum(p[q] for q in block) / n
            mg = sum(bool(g[q]) for q in block) / n
            freedom = n - 1 if n > 1 else 1
            vp = math.fsum((p[q] - mp) ** 2 for q in block) / freedom
            vg = math.fsum((g[q] - mg) ** 2 for q in block) / freedom
            cov = math.fsum((p[q] - mp) * (g[q] - mg) for q in block) / freedom
            if vg == 0 or vp < 1e-20:
                cov = 0.0
            above, below = 4 * mp * mg * cov, (mp**2 + mg**2) * (vp + vg)
            ssim = above / below if above else float(below < 1e-20)
            s_region += n / len(pixels) * ssim
    return max(0.0, 0.5 * s_object + 0.5 * s_region)


def weighted_f_by_loops(p: np.ndarray, g: np.ndarray) -> float:
    """Margolin et al. 2014, beta = 1, pixel by pixel."""
    height, width = g.shape
    inside = list(zip(*np.nonzero(g), strict=True))
    error, spread, distance = np.zeros(g.shape), np.zeros(g.shape), np.zeros(g.shape)
    for y in range(height):
        for x in range(width):
            error[y, x] = abs(p[y, x] - g[y, x])
    for y in range(height):
        for x in range(width):
            near = min(inside, key=lambda q: (q[0] - y) ** 2 + (q[1] - x) ** 2)
            distance[y, x] = math.hypot(near[0] - y, near[1] - x)
            spread[y, x] = error[near]
    gauss = {(i, j): math.exp(-(i * i + j * j) / 50) for i in range(-3, 4) for j in range(-3, 4)}
    norm = sum(gauss.values())
    hit = alarm = missed = 0.0
    for y in range(height):
        for x in range(width):
            if not g[y, x]:
                alarm += error[y, x] * (2 - math.exp(math.log(0.5) / 5 * distance[y, x]))
                continue
            smooth = sum(
                weight / norm * spread[y + i, x + j]
                for (i, j), weight in gauss.items()
                if 0 <= y + i < height and 0 <= x + j < width
            )
            weighted = min(error[y, x], smooth)
            hit, missed = hit + 1 - weighted, missed + weighted
    recall, precision = 1 - missed / len(inside), hit / (hit + alarm)
    return 2 * precision * recall / (precision + recall)


@pytest.mark.parametrize('kind', KINDS)
def test_s_measure_against_loops(kind: str) -> None:
    target = truth(kind)
    for seed in range(3):
        p = random_map(target, seed)
        assert s_measure(p, target) == pytest.approx(s_by_loops(p, target), abs=1e-12)


@pytest.mark.parametrize('kind', KINDS)
def test_weighted_f_against_loops(kind: str) -> None:
    target = truth(kind)
    p = random_map(target)
    expected = weighted_f_by_loops(p, target)
    assert 0.01 < expected < 0.95
    assert weighted_f_measure(p, target) == pytest.approx(expected, abs=1e-12)


def test_binary_maps_against_loops() -> None:
    target = truth('inside')
    p = ndimage.shift(target.astype(float), (1, 2), order=0)
    assert s_measure(p, target) == pytest.approx(s_by_loops(p, target), abs=1e-12)
    assert weighted_f_measure(p, target) == pytest.approx(weighted_f_by_loops(p, target), abs=1e-12)


# ------------------------------------------------------------------------------- by hand


@pytest.mark.parametrize('kind', KINDS)
def test_perfect_is_1(kind: str) -> None:
    target = truth(kind)
    assert s_measure(target.astype(float), target) == pytest.approx(1, abs=1e-12)
    assert weighted_f_measure(target.astype(float), target) == 1
    assert mean_absolute_error(target.astype(float), target) == 0


def test_inverted_is_0() -> None:
    target = truth('inside')
    assert s_measure(1.0 - target, target) == 0
    assert weighted_f_measure(1.0 - target, target) == pytest.approx(0, abs=1e-12)
    assert mean_absolute_error(1.0 - target, target) == 1


def test_s_measure_of_a_constant_map_by_hand() -> None:
    target = np.zeros((4, 4), bool)
    target[:, :2] = True
    # Objects: 2 * 0.5 / (0.25 + 1) = 0.8 twice. Blocks: flat in map and truth, 0 / 0, taken as 1.
    assert s_measure(np.full((4, 4), 0.5), target) == pytest.approx(0.5 * 0.8 + 0.5 * 1)
    # a mean that rounding keeps from being exact must not turn 0 / 0 into 0
    p = np.full((4, 4), 0.1)
    inside, outside = 0.2 / 1.01, 1.8 / 1.81
    assert s_measure(p, target) == pytest.approx(0.25 * (inside + outside) + 0.5)


def test_s_measure_by_hand() -> None:
    target = np.array([[1, 0], [0, 0]])
    p = np.array([[0.5, 0.25], [0, 0]])
    # share 1/4; O(0.5) = 0.8; off the object 1 - p = 0.75, 1, 1: mean 11/12, variance 1/48.
    off = 2 * 11 / 12 / ((11 / 12) ** 2 + 1 + math.sqrt(1 / 48))
    # Four blocks of one pixel: no variance, so 1 each.
    assert s_measure(p, target) == pytest.approx(0.5 * (0.25 * 0.8 + 0.75 * off) + 0.5)
    assert s_measure(p, target, alpha=1) == pytest.approx(0.25 * 0.8 + 0.75 * off)


def test_s_measure_without_object_or_background() -> None:
    p = np.array([[0.0, 0.5], [0.25, 0.25]])
    assert s_measure(p, np.zeros((2, 2))) == 0.75
    assert s_measure(p, np.ones((2, 2))) == 0.25


def test_weighted_f_by_hand() -> None:
    target = np.zeros((9, 9), bool)
    target[4, 4] = True
    p = np.zeros((9, 9))
    p[4, 9 - 1] = 0.5  # 4 pixels away
    # The object is missed: its error 1 is spread over all pixels, so its smoothed error is 1, too.
    assert weighted_f_measure(p, target) == pytest.approx(0, abs=1e-12)
    p[4, 4] = 1
    alarm = 0.5 * (2 - 0.5 ** (4 / 5))
    precision = 1 / (1 + alarm)
    assert weighted_f_measure(p, target) == pytest.approx(2 * precision / (precision + 1))


def test_weighted_f_forgives_scattered_misses() -> None:
    """A miss counts as much as the errors around it, so one in a found object counts little."""
    target = np.zeros((31, 31), bool)
    target[8:23, 8:23] = True
    scattered, gathered = target.astype(float), target.astype(float)
    scattered[8:23:5, 8:23:5] = 0
    gathered[8:11, 8:11] = 0
    assert (scattered == 0).sum() == (gathered == 0).sum()
    assert weighted_f_measure(scattered, target) > weighted_f_measure(gathered, target) + 0.005


def test_weighted_f_is_undefined_without_object() -> None:
    assert math.isnan(weighted_f_measure(np.zeros((3, 3)), np.zeros((3, 3))))


def test_weighted_f_of_nothing_found() -> None:
    assert weighted_f_measure(np.zeros((9, 9)), truth('pixel', (17, 23))[3:12, 5:14]) < 1e-12
    # As published: beyond the image errors are 0, which forgives at the border.
    border = np.zeros((9, 9), bool)
    border[0, 4] = True
    assert weighted_f_measure(np.zeros((9, 9)), border) == pytest.approx(
        weighted_f_by_loops(np.zeros((9, 9)), border)
    )


def test_mae_by_hand() -> None:
    p, target = np.array([[0.25, 0.5, 1.0]]), np.array([[0, 1, 1]])
    assert mean_absolute_error(p, target) == pytest.approx(0.25)
    valid = np.array([[True, False, True]])
    assert mean_absolute_error(p, target, valid) == 0.125
    assert math.isnan(mean_absolute_error(p, target, np.zeros((1, 3), bool)))


def test_normalize_map() -> None:
    assert normalize_map(np.array([[0.2, 0.3, 0.6]])) == pytest.approx(np.array([[0, 0.25, 1]]))
    assert (normalize_map(np.full((2, 2), 0.3)) == 0.3).all()


@pytest.mark.parametrize('score', [s_measure, weighted_f_measure, mean_absolute_error])
def test_wrong_input(score) -> None:
    with pytest.raises(ValueError, match=r'\(2, 3\) and \(3, 2\)'):
        score(np.zeros((2, 3)), np.zeros((3, 2)))
    with pytest.raises(ValueError, match=r'0\.\.1, got values from 0 to 255'):
        score(np.array([[0, 255]]), np.array([[0, 1]]))
    with pytest.raises(ValueError, match=r'0\.\.1, got values from nan to nan'):
        score(np.array([[0, np.nan]]), np.array([[0, 1]]))
