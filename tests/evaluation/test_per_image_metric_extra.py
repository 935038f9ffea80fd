"""PerImageBinaryMetric with further scores, size groups and confidence intervals."""

import csv
import logging
import os
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

import condseg_mmseg  # noqa: F401
from condseg_mmseg.evaluation import PerImageBinaryMetric
from condseg_mmseg.evaluation.extra_scores import EXTRA_SCORES
from condseg_mmseg.evaluation.functional import confusion_counts, scores_from_counts
from condseg_mmseg.evaluation.structure_measures import (
    normalize_map,
    s_measure,
    weighted_f_measure,
)
from condseg_mmseg.evaluation.surface import hausdorff_95, surface_dice
from condseg_mmseg.evaluation.threshold_curves import e_measure, threshold_counts

BASE = ['mIoU', 'mDice', 'mRecall', 'mPrecision', 'mF2', 'mAcc']
MAPS = ('s_measure', 'e_measure_max', 'e_measure_mean', 'e_measure_adaptive', 'weighted_f')
MAPS = (*MAPS, 'mae', 'dice_256', 'iou_256')


def sample(
    name: str, logits: np.ndarray | None, target: np.ndarray, pred: np.ndarray | None = None
) -> dict:
    """Make what an evaluator hands over; ``logits`` of shape (H, W) are probabilities."""
    target = np.asarray(target)
    out = SegDataSample(
        metainfo=dict(img_path=name, ori_shape=target.shape, img_shape=target.shape)
    )
    if logits is not None:
        logits = torch.as_tensor(logits, dtype=torch.float32)
        logits = logits[None] if logits.dim() == 2 else logits
        out.seg_logits = PixelData(data=logits)
        if pred is None:
            pred = logits[0] > 0.5 if len(logits) == 1 else logits.argmax(0)
    out.pred_sem_seg = PixelData(data=torch.as_tensor(pred, dtype=torch.float32)[None])
    out.gt_sem_seg = PixelData(data=torch.as_tensor(target, dtype=torch.int64)[None])
    return out.to_dict()


def maps(i: int) -> tuple[np.ndarray, np.ndarray]:
    """A map of 8-bit probabilities and a truth of its own size, image by image."""
    rng = np.random.default_rng(i)
    target = np.zeros((13, 16), int)
    target[2 : 5 + i, 3 : 6 + i] = 1
    p = np.clip(0.55 * target + 0.6 * rng.random(target.shape), 0, 1)
    return (np.round(255 * p) / 255).astype(np.float32), target


def samples(number: int = 6) -> list[dict]:
    return [sample(f'{i}', *maps(i)) for i in range(number)]


def evaluate(entries: list, size: int | None = None, **options) -> dict:
    metric = PerImageBinaryMetric(prefix='image', **options)
    metric.process({}, entries)
    return metric.evaluate(size or len(entries))


# ------------------------------------------------------------------------- further scores


def test_default_results_are_as_before() -> None:
    assert list(evaluate(samples())) == [f'image/{key}' for key in BASE]
    assert 'seg_logits' not in sample('a', None, np.ones((2, 2)), np.ones((2, 2)))


def test_names_become_keys_in_one_order() -> None:
    result = evaluate(samples(), extra_metrics=tuple(reversed(EXTRA_SCORES)))
    extra = ['mSmeasure', 'maxEmeasure', 'meanEmeasure', 'adpEmeasure', 'mWeightedF', 'mMAE']
    extra += ['mDice256', 'mIoU256', 'mHD95', 'mSurfaceDice']
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


# ------------------------------------------------------------------------------ processes


OPTIONS = dict(
    extra_metrics=('s_measure', 'e_measure_max', 'mae', 'surface_dice'),
    size_groups=True,
    bootstrap=50,
)


def test_padding_images_count_once_everywhere() -> None:
    entries = samples(5)
    padded = [*entries, entries[0], entries[0]]
    assert evaluate(padded, size=5, **OPTIONS) == evaluate(entries, **OPTIONS)


def test_numbers_not_maps_are_kept() -> None:
    metric = PerImageBinaryMetric(extra_metrics=('s_measure', 'e_measure_max'))
    metric.process({}, [sample('a', np.zeros((300, 300)), np.ones((300, 300)))])
    values, curve = metric.results[0].extra
    assert [type(value) for value in values] == [float] * 2
    assert (curve.dtype, curve.shape) == (np.float32, (256,))
    metric = PerImageBinaryMetric(extra_metrics=('s_measure', 'e_measure_mean'))
    metric.process({}, [sample('a', np.zeros((300, 300)), np.ones((300, 300)))])
    values, curve = metric.results[0].extra
    assert curve is None


def _worker(rank: int, port: int, folder: str) -> None:
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
    torch.distributed.init_process_group('gloo', rank=rank, world_size=2)
    metric = PerImageBinaryMetric(collect_dir=f'{folder}/parts', **OPTIONS)
    entries = samples(5)
    metric.process({}, [entries[i] for i in ((0, 2, 4), (1, 3, 0))[rank]])
    torch.save(metric.evaluate(5), f'{folder}/{rank}.pt')
    torch.distributed.destroy_process_group()


def test_two_processes_score_as_one(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    torch.multiprocessing.start_processes(
        _worker, args=(port, str(tmp_path)), nprocs=2, start_method='fork'
    )
    expected = dict(evaluate(samples(5), **OPTIONS))
    for rank in range(2):
        assert dict(torch.load(tmp_path / f'{rank}.pt', weights_only=False)) == expected


# ----------------------------------------------------------------------------- wrong input


@pytest.mark.parametrize('value', [-1, True, 10.0])
def test_wrong_number_of_resamples(value: object) -> None:
    with pytest.raises(ValueError, match=f'number of resamples, 0 for none, got {value}'):
        PerImageBinaryMetric(bootstrap=value)


def test_one_name_alone() -> None:
    assert 'image/mMAE' in evaluate(samples(1), extra_metrics='mae')


def test_labels_alone_do_for_the_scores_of_labels() -> None:
    target = maps(1)[1]
    labels = sample('a.jpg', None, target, pred=target)
    result = evaluate([labels], extra_metrics=('hd95', 'surface_dice'))
    assert (result['image/mHD95'], result['image/mSurfaceDice']) == (0, 100)
    with pytest.raises(ValueError, match=r'a\.jpg: s_measure, mae need probabilities.*labels only'):
        evaluate([labels], extra_metrics=('mae', 'hd95', 's_measure'))


@pytest.mark.parametrize('value', [1.5, -0.5, float('nan')])
def test_logits_of_one_channel_are_refused(value: float) -> None:
    logits = np.full((2, 2), 0.5)
    logits[0, 0] = value
    with pytest.raises(ValueError, match=r'a\.jpg: seg_logits of one channel must hold prob'):
        evaluate([sample('a.jpg', logits, np.ones((2, 2)))], extra_metrics=('mae',))


def test_other_samples_that_cannot_be_scored() -> None:
    p, target = maps(0)
    wrong = sample('a.jpg', p[:, 1:], target, pred=target)
    with pytest.raises(ValueError, match=r'a\.jpg: seg_logits have the size \(13, 15\)'):
        evaluate([wrong], extra_metrics=('mae',))
    metric = PerImageBinaryMetric(foreground=(2,), extra_metrics=('mae',))
    metric.dataset_meta = dict(classes=('b', 'x', 'y'))
    with pytest.raises(ValueError, match=r'tell 2 classes apart, foreground=\(2,\)'):
        metric.process({}, [sample('a.jpg', p, target)])


def test_ignored_pixels_go_with_mae_only() -> None:
    target = np.array([[1, 0], [255, 255]])
    entry = sample('a.jpg', np.array([[0.5, 0.25], [1, 0]]), target)
    assert evaluate([entry], extra_metrics=('mae',))['image/mMAE'] == 37.5
    for name in sorted(set(EXTRA_SCORES) - {'mae'}):
        with pytest.raises(ValueError, match=rf'a\.jpg: 2 pixels are ignored, but {name} are'):
            evaluate([entry], extra_metrics=(name,))


def test_counts_and_labels_agree() -> None:
    """The label scores use pred_sem_seg, whatever threshold made it."""
    p, target = maps(2)
    pred = (p > 0.9).astype(int)
    result = evaluate([sample('a', p, target, pred)], extra_metrics=('surface_dice',))
    counts = confusion_counts(pred, target)
    assert result['image/mDice'] == pytest.approx(100 * scores_from_counts(counts)['dice'].item())
    expected = 100 * surface_dice(pred > 0, target > 0)
    assert result['image/mSurfaceDice'] == pytest.approx(expected)
