"""Groups by the size of the object."""

import numpy as np

from condseg_mmseg.evaluation.sizes import size_groups


def counts(*true: int, total: int = 100) -> np.ndarray:
    """Make counts with so many true pixels, half of them found, and some false alarms."""
    rows = [(t - t // 2, 3, t // 2, total - 3 - t) for t in true]
    return np.array(rows)


def test_thirds_by_the_true_share() -> None:
    groups, bounds = size_groups(counts(9, 1, 8, 2, 7, 3, 6, 4, 5))
    assert groups.tolist() == [
        'large', 'small', 'large', 'small', 'large', 'small', 'medium', 'medium', 'medium'
    ]  # fmt: skip
    np.testing.assert_allclose(bounds, [(1 + 8 / 3) / 100, (1 + 16 / 3) / 100])


def test_share_not_area_decides() -> None:
    rows = np.concatenate([counts(10, 20, 30), counts(40, 50, 60, total=1000)])
    assert size_groups(rows)[0].tolist() == ['medium', 'large', 'large', 'small', 'small', 'medium']


def test_empty_truths_stand_apart() -> None:
    groups, bounds = size_groups(counts(0, 1, 2, 3, 0))
    assert groups.tolist() == ['empty', 'small', 'medium', 'large', 'empty']
    assert np.isfinite(bounds).all()
    groups, bounds = size_groups(counts(0, 0))
    assert groups.tolist() == ['empty', 'empty']
    assert np.isnan(bounds).all()


def test_equal_shares_stay_together() -> None:
    assert size_groups(counts(5, 5, 5, 5))[0].tolist() == ['small'] * 4


def test_images_without_valid_pixels_are_empty() -> None:
    assert size_groups(np.array([[0, 0, 0, 0], [1, 0, 0, 1]]))[0].tolist() == ['empty', 'small']
