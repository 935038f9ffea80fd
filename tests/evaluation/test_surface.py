"""HD95 and surface Dice against SciPy's distance transforms, by hand, and on empty masks."""

import math

import numpy as np
import pytest
from scipy import ndimage

from condseg_mmseg.evaluation.surface import hausdorff_95, surface_dice


def distances(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances from one outline to the other, both ways."""
    outlines = [mask & ~ndimage.binary_erosion(mask) for mask in (a, b)]
    maps = [ndimage.distance_transform_edt(~outline) for outline in outlines]
    return maps[1][outlines[0]], maps[0][outlines[1]]


def random_masks(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.random((2, 37, 53)), (0, 4, 4))
    return smooth[0] > 0.5, smooth[1] > 0.5


@pytest.mark.parametrize('seed', range(4))
def test_against_distance_transforms(seed: int) -> None:
    pred, target = random_masks(seed)
    there, back = distances(pred, target)
    expected = max(np.percentile(there, 95), np.percentile(back, 95))
    assert 2 < expected < 40
    assert hausdorff_95(pred, target) == pytest.approx(expected, rel=1e-5)
    for tolerance in (0, 1, 2.5):
        near = (there <= tolerance).sum() + (back <= tolerance).sum()
        expected = near / (len(there) + len(back))
        assert surface_dice(pred, target, tolerance) == pytest.approx(expected, rel=1e-6)


def test_by_hand() -> None:
    pred, target = np.zeros((2, 12, 20), bool)
    target[5, 4:14] = True  # lines of 10 pixels
    pred[5, 7:17] = True
    # Three pixels of each line are off: by 1, 2, 3. The 95th percentile of 10 values is 2 + 0.55.
    assert hausdorff_95(pred, target) == pytest.approx(2.55)
    assert surface_dice(pred, target) == pytest.approx(18 / 20)  # tolerance 2: all but the last
    assert surface_dice(pred, target, 0) == pytest.approx(14 / 20)
    assert surface_dice(pred, target, 3) == 1


def test_perfect() -> None:
    mask, _ = random_masks(0)
    assert hausdorff_95(mask, mask) == 0
    assert surface_dice(mask, mask, 0) == 1


def test_the_border_of_the_image_is_an_outline() -> None:
    full, inner = np.ones((9, 9), bool), np.zeros((9, 9), bool)
    inner[1:-1, 1:-1] = True
    # 4 of the 32 border pixels are corners, at the root of 2; the others are at 1.
    assert hausdorff_95(full, inner) == pytest.approx(math.sqrt(2))
    assert surface_dice(full, inner, 0) == 0
    assert surface_dice(full, full, 0) == 1


def test_empty_masks() -> None:
    empty, some = np.zeros((2, 5, 5), bool)
    some[2, 2] = True
    assert hausdorff_95(empty, empty) == 0
    assert surface_dice(empty, empty) == 1
    for pair in ((empty, some), (some, empty)):
        assert math.isnan(hausdorff_95(*pair))
        assert surface_dice(*pair) == 0


def test_shapes() -> None:
    for score in (hausdorff_95, surface_dice):
        with pytest.raises(ValueError, match=r'\(2, 3\) and \(3, 2\)'):
            score(np.zeros((2, 3), bool), np.zeros((3, 2), bool))
