"""Properties of the scores over generated predictions, against a count by numpy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import few

from condseg_mmseg.evaluation.functional import confusion_counts, scores_from_counts


@st.composite
def pairs(draw) -> tuple[np.ndarray, np.ndarray]:
    """Prediction and truth, 0 and 1, with some of the truth ignored (255)."""
    shape = draw(st.integers(1, 23)), draw(st.integers(1, 19))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shares = [draw(st.sampled_from((0.0, 0.2, 0.5, 1.0))) for _ in range(2)]
    pred, truth = ((rng.random(shape) < share).astype(np.uint8) for share in shares)
    truth[rng.random(shape) < draw(st.sampled_from((0.0, 0.2)))] = 255
    truth[0, 0] = draw(st.integers(0, 1))  # a picture without any valid pixel has no score
    return pred, truth


def scores(pred: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    pred, truth = (np.array(array, order='C') for array in (pred, truth))
    found = scores_from_counts(confusion_counts(pred, truth))
    return {name: float(value) for name, value in found.items()}


@few
@given(pairs())
def test_scores_are_those_of_a_direct_count(pair):
    pred, truth = pair
    valid = truth != 255
    p, t = pred[valid] == 1, truth[valid] == 1
    both, either = int((p & t).sum()), int((p | t).sum())
    found = scores(pred, truth)
    assert all(0 <= value <= 1 for value in found.values())
    if either:
        assert found['iou'] == pytest.approx(both / either)
        assert found['dice'] == pytest.approx(2 * both / (p.sum() + t.sum()))
    else:
        assert found['dice'] == found['iou'] == 1
    if t.any():
        assert found['recall'] == pytest.approx(both / t.sum())
    assert found['accuracy'] == pytest.approx((p == t).mean())


@few
@given(pairs())
def test_perfect_is_one_and_the_order_of_pixels_does_not_matter(pair):
    pred, truth = pair
    perfect = scores(np.where(truth == 1, 1, 0), truth)
    assert all(value == 1 for name, value in perfect.items()), perfect
    assert scores(pred[::-1], truth[::-1]) == scores(pred, truth)
    assert scores(pred.T, truth.T) == scores(pred, truth)


@few
@given(pairs())
def test_dice_and_iou_are_symmetric_and_one_follows_from_the_other(pair):
    pred, truth = pair
    truth = np.where(truth == 255, 0, truth)
    here, there = scores(pred, truth), scores(truth, pred)
    assert here['dice'] == there['dice']
    assert here['iou'] == there['iou']
    assert here['dice'] == pytest.approx(2 * here['iou'] / (1 + here['iou']))
