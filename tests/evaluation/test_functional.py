"""Counts and scores against hand values, scikit-learn and the parity fixture."""

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import fixture
from sklearn import metrics as sk

from condseg_mmseg.evaluation.functional import (
    SCORES,
    confusion_counts,
    mean_scores,
    scores_from_counts,
)

# tp, fp, fn, tn
BOTH_EMPTY = (0, 0, 0, 8)
EMPTY_TRUTH = (0, 3, 0, 5)
EMPTY_PRED = (0, 0, 2, 6)
DISJOINT = (0, 2, 3, 3)
PERFECT = (4, 0, 0, 4)
NO_PIXEL = (0, 0, 0, 0)
PLAIN = (6, 2, 3, 9)

NAN = float('nan')


def scores(counts: tuple, policy: str) -> list[float]:
    result = scores_from_counts(np.array(counts), policy)
    return [result[name].item() for name in SCORES]


def random_maps(seed: int, shape: tuple = (5, 13, 17)) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    target = rng.integers(0, 2, shape)
    pred = np.where(rng.random(shape) < 0.7, target, 1 - target)
    target[rng.random(shape) < 0.1] = 255
    return pred, target


# ------------------------------------------------------------------------------- counts


def test_counts_by_hand() -> None:
    pred = np.array([[1, 1, 0, 0, 1]])
    target = np.array([[1, 0, 1, 0, 255]])
    assert confusion_counts(pred, target).tolist() == [1, 1, 1, 1]


def test_counts_of_a_batch_against_sklearn() -> None:
    pred, target = random_maps(0)
    counts = confusion_counts(pred, target)
    assert counts.shape == (5, 4)
    assert counts.dtype == np.int64
    for row, p, t in zip(counts, pred, target, strict=True):
        tn, fp, fn, tp = sk.confusion_matrix(t[t != 255], p[t != 255], labels=[0, 1]).ravel()
        assert row.tolist() == [tp, fp, fn, tn]


@pytest.mark.parametrize('dtype', [torch.float32, torch.int64, torch.uint8, torch.bool])
def test_counts_of_tensors(dtype: torch.dtype) -> None:
    pred, target = random_maps(1)
    counts = confusion_counts(torch.from_numpy(pred).to(dtype), torch.from_numpy(target))
    assert np.array_equal(counts, confusion_counts(pred, target))


def test_foreground_is_a_union_of_labels() -> None:
    pred = np.array([[0, 1, 2, 3]])
    target = np.array([[0, 2, 3, 3]])
    assert confusion_counts(pred, target, foreground=(1, 2)).tolist() == [1, 0 + 1, 0, 2]
    assert confusion_counts(pred, target, foreground=(1, 2, 3)).tolist() == [3, 0, 0, 1]
    assert confusion_counts(pred, target, ignore_index=3).tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize(('a', 'b'), [((2, 3), (3, 2)), ((2, 3), (1, 2, 3)), ((4,), (4,))])
def test_shapes_must_agree(a: tuple, b: tuple) -> None:
    with pytest.raises(ValueError, match=r'same shape \(\.\.\., H, W\)'):
        confusion_counts(np.zeros(a), np.zeros(b))


# ------------------------------------------------------------------------------- scores


@pytest.mark.parametrize('policy', ['strict', 'official', 'skip'])
def test_plain_values(policy: str) -> None:
    # r = 6/9, p = 6/8, F2 = 5pr / (4p + r)
    f2 = 5 * 0.75 * (2 / 3) / (4 * 0.75 + 2 / 3)
    expected = [6 / 11, 12 / 17, 2 / 3, 0.75, f2, 0.75]
    assert scores(PLAIN, policy) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize('policy', ['strict', 'skip'])
def test_perfect_is_exactly_one(policy: str) -> None:
    assert scores(PERFECT, policy) == [1.0] * 6


@pytest.mark.parametrize(
    ('policy', 'counts', 'expected'),
    [
        ('strict', BOTH_EMPTY, [1, 1, 1, 1, 1, 1]),
        ('strict', EMPTY_TRUTH, [0, 0, 0, 0, 0, 5 / 8]),
        ('strict', EMPTY_PRED, [0, 0, 0, 0, 0, 6 / 8]),
        ('strict', DISJOINT, [0, 0, 0, 0, 0, 3 / 8]),
        ('strict', NO_PIXEL, [NAN] * 6),
        ('official', BOTH_EMPTY, [1, 1, 1, 1, 1, 1]),
        ('official', EMPTY_TRUTH, [0, 0, 1, 0, 0, 5 / 8]),
        ('official', EMPTY_PRED, [0, 0, 0, 1, 0, 6 / 8]),
        ('official', DISJOINT, [0, 0, 0, 0, 0, 3 / 8]),
        ('official', NO_PIXEL, [1] * 6),
        ('skip', BOTH_EMPTY, [NAN, NAN, NAN, NAN, NAN, 1]),
        ('skip', EMPTY_TRUTH, [0, 0, NAN, 0, 0, 5 / 8]),
        ('skip', EMPTY_PRED, [0, 0, 0, NAN, 0, 6 / 8]),
        ('skip', DISJOINT, [0, 0, 0, 0, 0, 3 / 8]),
        ('skip', NO_PIXEL, [NAN] * 6),
    ],
)
def test_policies_by_hand(policy: str, counts: tuple, expected: list) -> None:
    assert scores(counts, policy) == pytest.approx(expected, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize('seed', range(4))
def test_against_sklearn(seed: int) -> None:
    pred, target = random_maps(seed)
    result = scores_from_counts(confusion_counts(pred, target))
    for i, (p, t) in enumerate(zip(pred, target, strict=True)):
        p, t = p[t != 255], t[t != 255]
        oracle = dict(
            iou=sk.jaccard_score(t, p),
            dice=sk.f1_score(t, p),
            recall=sk.recall_score(t, p),
            precision=sk.precision_score(t, p),
            f2=sk.fbeta_score(t, p, beta=2),
            accuracy=sk.accuracy_score(t, p),
        )
        assert {k: v[i] for k, v in result.items()} == pytest.approx(oracle, abs=1e-12)


@pytest.mark.parametrize('counts', [EMPTY_TRUTH, EMPTY_PRED, BOTH_EMPTY])
def test_skip_is_what_sklearn_calls_undefined(counts: tuple) -> None:
    tp, fp, fn, tn = counts
    truth = np.repeat([1, 0, 1, 0], [tp, fp, fn, tn])
    pred = np.repeat([1, 1, 0, 0], [tp, fp, fn, tn])
    nan = dict(zero_division=np.nan)
    oracle = [
        sk.recall_score(truth, pred, **nan),
        sk.precision_score(truth, pred, **nan),
        sk.fbeta_score(truth, pred, beta=2, **nan),
    ]
    assert scores(counts, 'skip')[2:5] == pytest.approx(oracle, nan_ok=True)


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="got 'lenient'"):
        scores_from_counts(np.zeros(4), 'lenient')
    with pytest.raises(ValueError, match=r'shape \(\.\.\., 4\), got \(3,\)'):
        scores_from_counts(np.zeros(3))


def test_mean_leaves_undefined_scores_out() -> None:
    means = mean_scores(dict(iou=np.array([0.5, NAN, 1.0]), dice=np.array([NAN, NAN])))
    assert means['iou'] == 0.75
    assert np.isnan(means['dice'])


def test_mean_over_images_is_not_the_score_of_the_data_set() -> None:
    large, small = (98, 2, 0, 0), (0, 0, 10, 90)
    per_image = mean_scores(scores_from_counts(np.array([large, small])))['iou']
    data_set = scores_from_counts(np.array([large, small]).sum(0))['iou'].item()
    assert per_image == pytest.approx(0.49)
    assert data_set == pytest.approx(98 / 110)


# ------------------------------------------------------------------------------- parity


def check_parity(pred: np.ndarray, target: np.ndarray, data: dict) -> None:
    result = scores_from_counts(confusion_counts(pred, target), 'official')
    columns = data['columns'].tolist()
    assert sorted(columns) == sorted(SCORES)
    for j, name in enumerate(columns):
        assert np.abs(result[name] - data['per_image'][:, j]).max() < 1e-9, name
        assert abs(mean_scores(result)[name] - data['mean'][j]) < 1e-9, name


def test_official_policy_equals_the_published_scores() -> None:
    data = fixture('metrics_small.npz')  # 12 images of 64 x 80, a bit per pixel
    pred, target = (np.unpackbits(data[key], axis=-1) for key in ('pred', 'gt'))
    assert pred.shape == (12, 64, 80)
    check_parity(pred, target, data)


def test_official_policy_equals_the_full_fixture(parity_dir: Path) -> None:
    with np.load(parity_dir / 'metrics.npz') as data:
        check_parity(data['pred'] > 0.5, data['gt'], dict(data))
