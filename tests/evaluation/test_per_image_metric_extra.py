"""PerImageBinaryMetric with further scores, size groups and confidence intervals."""

import csv
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import load_script

from condseg_mmseg.evaluation import PerImageBinaryMetric
from condseg_mmseg.evaluation.extra_scores import EXTRA_SCORES
from condseg_mmseg.evaluation.functional import scores_from_counts
from condseg_mmseg.evaluation.structure_measures import (
    normalize_map,
    s_measure,
    weighted_f_measure,
)
from condseg_mmseg.evaluation.surface import hausdorff_95, surface_dice
from condseg_mmseg.evaluation.threshold_curves import e_measure, threshold_counts

metric_samples = load_script('tests/evaluation/metric_samples.py')
evaluate, maps, sample, samples = (
    getattr(metric_samples, name) for name in ('evaluate', 'maps', 'sample', 'samples')
)
BASE = ['mIoU', 'mDice', 'mRecall', 'mPrecision', 'mF2', 'mAcc']


# ------------------------------------------------------------------------- further scores


def test_default_results_are_as_before() -> None:
    assert list(evaluate(samples())) == [f'image/{key}' for key in BASE]
    assert 'seg_logits' not in sample('a', None, np.ones((2, 2)), np.ones((2, 2)))


def test_names_become_keys_in_one_order() -> None:
    result = evaluate(samples(), extra_metrics=tuple(reversed(EXTRA_SCORES)))
    extra = ['mSmeasure', 'maxEmeasure', 'meanEmeasure', 'adpEmeasure', 'mWeightedF', 'mMAE']
    extra += ['mDice256', 'mIoU256', 'mHD95', 'mSurfaceDice', 'mObjectRecall', 'mObjectPrecision']
    assert list(result) == [f'image/{key}' for key in BASE + extra]


def test_values_are_means_of_the_functions() -> None:
    result = evaluate(samples(), extra_metrics=tuple(EXTRA_SCORES), surface_tolerance=1)
    pairs = [(p.astype(float), t > 0) for p, t in (maps(i) for i in range(6))]
    curves = np.array([e_measure(threshold_counts(*pair)) for pair in pairs])
    counts = np.array([threshold_counts(*pair) for pair in pairs])
    expected = dict(
        mSmeasure=100 * np.mean([s_measure(*pair) for pair in pairs]),
        maxEmeasure=100 * curves.mean(0).max(),
        meanEmeasure=100 * curves.mean(),
        mWeightedF=100 * np.mean([weighted_f_measure(*pair) for pair in pairs]),
        mMAE=100 * np.mean([np.abs(p - t).mean() for p, t in pairs]),
        mDice256=100 * scores_from_counts(counts)['dice'].mean(),
        mIoU256=100 * scores_from_counts(counts)['iou'].mean(),
        mHD95=np.mean([hausdorff_95(p > 0.5, t) for p, t in pairs]),
        mSurfaceDice=100 * np.mean([surface_dice(p > 0.5, t, 1) for p, t in pairs]),
    )
    for key, value in expected.items():
        assert result[f'image/{key}'] == pytest.approx(value, rel=1e-6), key
    # the set's threshold is not each image's own
    assert result['image/maxEmeasure'] < 100 * curves.max(1).mean() - 1e-3
    plain = evaluate(samples())
    assert {key: result[key] for key in plain} == plain


def test_e_measures_by_hand() -> None:
    """A two-valued map is perfect (1) between its values and one-coloured (1/4) elsewhere."""
    target = np.array([[1, 1, 0, 0, 0]])
    levels = ((100, 150), (120, 140), (200, 250))
    entries = [
        sample(f'{i}', np.where(target, high, low) / 255, target)
        for i, (low, high) in enumerate(levels)
    ]
    result = evaluate(entries, extra_metrics=('e_measure_max', 'e_measure_mean'))
    # two of three are perfect at the thresholds 121 to 140
    assert result['image/maxEmeasure'] == pytest.approx(100 * (1 + 1 + 0.25) / 3)
    perfect = 50 + 20 + 50
    assert result['image/meanEmeasure'] == pytest.approx(
        100 * (perfect + 0.25 * (3 * 256 - perfect)) / (3 * 256)
    )


def test_a_perfect_prediction() -> None:
    target = maps(3)[1]
    result = evaluate([sample('a', target, target)], extra_metrics=tuple(EXTRA_SCORES))
    zero = {'image/mMAE', 'image/mHD95'}
    for key, value in result.items():
        if key == 'image/meanEmeasure':  # the threshold 0 makes all foreground: 1/4
            assert value == pytest.approx(100 * 255.25 / 256)
        elif key in ('image/mDice256', 'image/mIoU256'):
            assert 99.5 < value < 100
        else:
            assert value == pytest.approx(0 if key in zero else 100), key


def test_csv_has_the_columns_behind_the_old_ones(tmp_path: Path) -> None:
    old, new = tmp_path / 'old.csv', tmp_path / 'new.csv'
    evaluate(samples(), csv_path=str(old))
    options = dict(extra_metrics=('mae', 'e_measure_max'), size_groups=True)
    result = evaluate(samples(), csv_path=str(new), **options)
    before, after = (list(csv.reader(path.open(newline=''))) for path in (old, new))
    assert [row[:11] for row in after] == before
    assert after[0][11:] == ['e_measure_max', 'mae', 'size']
    for column, key in ((11, 'maxEmeasure'), (12, 'mMAE')):
        mean = np.mean([float(row[column]) for row in after[1:]])
        assert mean == pytest.approx(result[f'image/{key}'])
    assert [row[13] for row in after[1:]] == ['small'] * 2 + ['medium'] * 2 + ['large'] * 2


def test_minmax_stretches_the_map_but_not_the_labels() -> None:
    p, target = maps(2)
    weak = sample('a', 0.25 * p + 0.1, target)
    strong = sample('a', normalize_map(p), target)
    options = dict(extra_metrics=('s_measure', 'mae'), map_norm='minmax')
    a, b, plain = evaluate([weak], **options), evaluate([strong], **options), evaluate([weak])
    for key in ('image/mSmeasure', 'image/mMAE'):
        assert a[key] == pytest.approx(b[key], rel=1e-5)
    assert a['image/mDice'] == plain['image/mDice'] == 0
    options['map_norm'] = 'none'
    assert evaluate([weak], **options)['image/mMAE'] != pytest.approx(a['image/mMAE'], abs=1)


def test_two_channels_go_through_a_softmax() -> None:
    p, target = maps(2)
    p = np.clip(p, 1e-3, 1 - 1e-3)
    two = np.stack([np.zeros_like(p), np.log(p / (1 - p))]) + 3
    options = dict(extra_metrics=('s_measure', 'mae', 'dice_256'))
    one = evaluate([sample('a', p, target)], **options)
    for key, value in evaluate([sample('a', two, target)], **options).items():
        assert value == pytest.approx(one[key], rel=1e-3), key


def test_foreground_of_several_classes_adds_their_probabilities() -> None:
    p = np.array([[0.5, 0.1], [0.3, 0.2], [0.2, 0.7]])[:, None]  # 3 classes, 1 x 2 pixels
    metric = PerImageBinaryMetric(foreground=(1, 2), extra_metrics=('mae',))
    metric.dataset_meta = dict(classes=('b', 'x', 'y'))
    metric.process({}, [sample('a', np.log(p), np.array([[1, 0]]))])
    assert metric.evaluate(1)['image/mMAE'] == pytest.approx(100 * (0.5 + 0.9) / 2)


def test_tensors_of_half_precision() -> None:
    entry = sample('a', *maps(1))
    for dtype in (torch.float16, torch.bfloat16):
        entry['seg_logits']['data'] = entry['seg_logits']['data'].to(dtype)
        entry['pred_sem_seg']['data'] = entry['pred_sem_seg']['data'].to(dtype)
        assert evaluate([entry], extra_metrics=('mae',))['image/mMAE'] > 0


# --------------------------------------------------------------------------- empty masks


def test_empty_masks() -> None:
    empty, some = np.zeros((12, 12)), np.zeros((12, 12))
    some[5:7, 5:7] = 1
    entries = [
        sample('both', empty, empty),
        sample('truth', some, empty),
        sample('prediction', empty, some),
        sample('none', some, some),
    ]
    names = ('weighted_f', 'hd95', 'surface_dice', 's_measure', 'dice_256')

    def columns(policy: str) -> dict[str, list]:
        metric = PerImageBinaryMetric(extra_metrics=names, empty_policy=policy)
        metric.process({}, entries)
        metric.evaluate(4)
        return {name: metric.table.scores[name].tolist() for name in names}

    nan = pytest.approx(float('nan'), nan_ok=True)
    half = 100 * 8 / 148  # Dice of a prediction of everything, at the threshold 0
    for policy in ('strict', 'official'):
        found = columns(policy)
        assert found['weighted_f'] == pytest.approx([100, 0, 0, 100], abs=1e-9)
        assert found['hd95'] == [0, nan, nan, 0]
        assert found['surface_dice'] == [100, 0, 0, 100]
        assert found['s_measure'] == pytest.approx(
            [100, 100 * 140 / 144, found['s_measure'][2], 100]
        )
        # both empty: 1 at all thresholds but 0, where everything is predicted
        expected = [100 * 255 / 256, 0, half / 256, (25500 + half) / 256]
        assert found['dice_256'] == pytest.approx(expected, abs=1e-9)
    found = columns('skip')
    assert found['weighted_f'] == [nan, nan, pytest.approx(0, abs=1e-9), 100]
    assert found['hd95'] == [nan, nan, nan, 0]
    assert found['surface_dice'] == [nan, nan, 0, 100]
    assert found['dice_256'] == [nan, nan, pytest.approx(half / 256), pytest.approx(expected[3])]


def test_left_out_images_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    from mmengine.logging import MMLogger

    logger = MMLogger.get_instance('left_out')
    logger.addHandler(caplog.handler)
    empty, some = np.zeros((6, 6)), np.ones((6, 6))
    entries = [sample('a', empty, some), sample('b', some, some), sample('c', empty, some)]
    with caplog.at_level(logging.INFO):
        result = evaluate(entries, extra_metrics=('hd95', 'e_measure_max'), size_groups=True)
    logger.removeHandler(caplog.handler)
    assert result['image/mHD95'] == 0
    assert 'hd95 is undefined for 2 images, which are left out' in caplog.text
    assert 'e_measure_max is reached at the threshold 0 / 255' in caplog.text
    assert 'small up to 100.00 % (3 images)' in caplog.text


# ---------------------------------------------------------------------- groups, intervals


def test_results_by_size() -> None:
    entries = [*samples(), sample('empty', np.zeros((13, 16)), np.zeros((13, 16)))]
    result = evaluate(entries, size_groups=True, extra_metrics=('mae',))
    for group, members in (('small', (0, 1)), ('medium', (2, 3)), ('large', (4, 5))):
        alone = evaluate([entries[i] for i in members], extra_metrics=('mae',))
        for key, value in alone.items():
            assert result[f'{key}_{group}'] == pytest.approx(value), key
    assert result['image/mDice_empty'] == 100
    assert len(result) == 7 * 5
    assert not [key for key in evaluate(samples(), size_groups=True) if key.endswith('_empty')]


def test_intervals_of_the_means() -> None:
    entries = samples()
    result = evaluate(entries, bootstrap=400, extra_metrics=('mae',))
    assert list(result)[7:9] == ['image/mIoU_low', 'image/mIoU_high']
    assert len(result) == 7 * 3
    for key in ('mIoU', 'mMAE'):
        low, mean, high = (result[f'image/{key}{end}'] for end in ('_low', '', '_high'))
        assert low < mean < high
    assert evaluate(entries, bootstrap=400, extra_metrics=('mae',)) == result
    other = evaluate(entries, bootstrap=400, bootstrap_seed=1)
    assert other['image/mIoU_low'] != result['image/mIoU_low']
    # by hand: of two images, a quarter of the resamples each are twice the same
    full = np.ones((2, 2))
    two = evaluate([sample('a', full, full), sample('b', 0 * full, full)], bootstrap=100)
    assert (two['image/mDice_low'], two['image/mDice_high']) == (0, 100)
