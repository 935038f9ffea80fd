"""PerImageBinaryMetric: values, protocol, duplicates across processes, CSV."""

import csv
import itertools
import os
import pickle
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData
from mmseg.registry import METRICS
from mmseg.structures import SegDataSample

import condseg_mmseg  # noqa: F401
from condseg_mmseg.evaluation import PerImageBinaryMetric

KEYS = ['mIoU', 'mDice', 'mRecall', 'mPrecision', 'mF2', 'mAcc']
META = dict(classes=('background', 'foreground'), palette=[[0, 0, 0], [0, 255, 0]])


def sample(
    name: str,
    pred: np.ndarray,
    target: np.ndarray | None,
    ori_shape: tuple | None = None,
    img_shape: tuple | None = None,
    scale_factor: tuple | None = None,
) -> dict:
    """Make what an evaluator hands to a metric."""
    shape = np.shape(pred)
    meta = dict(img_path=name, ori_shape=ori_shape or shape, img_shape=img_shape or shape)
    if scale_factor is not None:
        meta['scale_factor'] = scale_factor
    out = SegDataSample(metainfo=meta)
    out.pred_sem_seg = PixelData(data=torch.as_tensor(pred, dtype=torch.float32)[None])
    if target is not None:
        out.gt_sem_seg = PixelData(data=torch.as_tensor(target, dtype=torch.int64)[None])
    return out.to_dict()


def maps(i: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(i)
    target = rng.integers(0, 2, (7, 11))
    return np.where(rng.random((7, 11)) < 0.8, target, 1 - target), target


def evaluate(samples: list, size: int | None = None, **options) -> dict:
    metric = PerImageBinaryMetric(**options)
    metric.dataset_meta = META
    metric.process({}, samples)
    return metric.evaluate(len(samples) if size is None else size)


def large_and_small() -> list[dict]:
    """98 of 100 right on a full image; a small object missed."""
    small = np.zeros((10, 10), int)
    small[0] = 1
    large = np.ones((10, 10), int)
    truth = large.copy()
    truth[0, :2] = 0
    return [sample('large', large, truth), sample('small', np.zeros((10, 10)), small)]


def test_values_are_percent_and_not_rounded() -> None:
    result = evaluate(large_and_small())
    assert list(result) == [f'image/{key}' for key in KEYS]
    assert result['image/mIoU'] == pytest.approx(49.0, abs=1e-12)
    assert result['image/mDice'] == pytest.approx(100 * (196 / 198) / 2, abs=1e-12)
    assert result['image/mRecall'] == 50.0
    assert result['image/mPrecision'] == pytest.approx(49.0)
    assert result['image/mF2'] == pytest.approx(100 * (490 / 492) / 2, abs=1e-12)
    assert result['image/mAcc'] == pytest.approx(94.0)


def test_it_differs_from_mmsegs_iou_metric_beside_it() -> None:
    with DefaultScope.overwrite_default_scope('mmseg'):
        evaluator = Evaluator(
            [
                dict(type='PerImageBinaryMetric'),
                dict(type='IoUMetric', prefix='dataset', iou_metrics=['mIoU', 'mDice']),
            ]
        )
    evaluator.dataset_meta = META
    evaluator.process(large_and_small())
    result = evaluator.evaluate(2)
    assert result['image/mIoU'] == pytest.approx(49.0)
    # Over the set: foreground 98 / 110, background 90 / 102.
    assert result['dataset/mIoU'] == pytest.approx(100 * (98 / 110 + 90 / 102) / 2, abs=0.01)


def test_ignored_pixels_count_nowhere() -> None:
    pred = np.array([[1, 1, 0, 0]])
    target = np.array([[1, 255, 255, 0]])
    assert set(evaluate([sample('a', pred, target)]).values()) == {100.0}


def test_policies_reach_the_means() -> None:
    empty, some = np.zeros((2, 2)), np.array([[1, 0], [0, 0]])
    samples = [sample('a', some, some), sample('b', empty, empty), sample('c', some, empty)]
    strict = evaluate(samples)
    assert strict['image/mIoU'] == pytest.approx(200 / 3)
    assert strict['image/mRecall'] == pytest.approx(200 / 3)
    official = evaluate(samples, empty_policy='official')
    assert official['image/mIoU'] == pytest.approx(200 / 3)
    assert official['image/mRecall'] == pytest.approx(100)
    skip = evaluate(samples, empty_policy='skip')
    assert skip['image/mIoU'] == pytest.approx(50)
    assert skip['image/mRecall'] == pytest.approx(100)
    assert skip['image/mPrecision'] == pytest.approx(50)


def test_foreground_may_be_several_classes() -> None:
    metric = PerImageBinaryMetric(foreground=(1, 2))
    metric.dataset_meta = dict(classes=('b', 'x', 'y'))
    metric.process({}, [sample('a', np.array([[1, 2, 0]]), np.array([[2, 1, 0]]))])
    assert metric.evaluate(1)['image/mIoU'] == 100


def test_only_counts_are_kept() -> None:
    metric = PerImageBinaryMetric()
    metric.process({}, [sample('a', *maps(0))])
    (result,) = metric.results
    assert (result.image, result.mask, result.extra) == ('a', '', ())
    assert [type(count) for count in result.counts] == [int] * 4
    assert sum(result.counts) == 77
    assert pickle.loads(pickle.dumps(result)) == result  # as it goes from process to process


def test_results_are_cleared_between_evaluations() -> None:
    metric = PerImageBinaryMetric()
    for i in range(2):
        metric.process({}, [sample(f'{i}', np.ones((2, 2)), np.full((2, 2), i))])
        assert metric.evaluate(1)['image/mIoU'] == 100 * i


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(empty_policy='x'), "empty_policy must be .* got 'x'"),
        (dict(protocol='x'), "protocol must be .* got 'x'"),
        (dict(foreground=()), 'foreground must name labels'),
        (dict(foreground=(255,)), 'foreground must name labels'),
    ],
)
def test_wrong_options(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PerImageBinaryMetric(**options)


def test_every_sample_is_checked() -> None:
    pred, target = maps(0)
    with pytest.raises(ValueError, match='Add ScoreAtInputSize'):
        evaluate([sample('a', *maps(1)), sample('b', pred, target, img_shape=(32, 32))])
    with pytest.raises(ValueError, match=r'b: .*\[2\].*LoadBinaryMask missing'):
        evaluate([sample('a', *maps(1)), sample('b', pred, target + 1)])


def test_prediction_and_mask_of_different_sizes() -> None:
    with pytest.raises(ValueError, match=r'shape \(4, 4\), the mask \(2, 3\)'):
        evaluate([sample('a', np.zeros((4, 4)), np.zeros((2, 3)))])


def test_samples_that_cannot_be_scored() -> None:
    with pytest.raises(ValueError, match='no img_path'):
        evaluate([sample('', *maps(0))])
    with pytest.raises(ValueError, match='a: the sample has no mask'):
        evaluate([sample('a', maps(0)[0], None)])
    with pytest.raises(ValueError, match='no image was scored'):
        PerImageBinaryMetric().compute_metrics([])


# ---------------------------------------------------------------------------- processes


def padded_shares(number: int, processes: int) -> list[list[int]]:
    """Return the indices that mmengine's DefaultSampler gives to each process."""
    total = -(-number // processes) * processes
    indices = list(itertools.islice(itertools.cycle(range(number)), total))
    return [indices[rank::processes] for rank in range(processes)]


@pytest.mark.parametrize('order', ['as sampled', 'duplicates first'])
def test_an_image_counts_once(order: str, tmp_path: Path) -> None:
    samples = [sample(f'{i}', *maps(i)) for i in range(5)]
    expected = evaluate(samples, csv_path=str(tmp_path / 'a.csv'))
    shares = padded_shares(5, 3)
    indices = [share[i] for i in range(2) for share in shares]
    assert len(indices) == 6
    if order == 'duplicates first':  # mmengine's cut to the first five would lose an image
        indices = [0, 0, 1, 2, 3, 4]
    gathered = [samples[i] for i in indices]
    assert evaluate(gathered, size=5, csv_path=str(tmp_path / 'b.csv')) == expected
    assert (tmp_path / 'a.csv').read_text() == (tmp_path / 'b.csv').read_text()


def test_one_image_with_two_masks_counts_twice() -> None:
    samples = [sample('a', *maps(0)), sample('a', *maps(1))]
    for i, one in enumerate(samples):
        one['seg_map_path'] = f'reader{i}.png'
    separate = [evaluate([one])['image/mIoU'] for one in samples]
    assert evaluate(samples)['image/mIoU'] == pytest.approx(np.mean(separate))


def test_another_number_of_images_than_the_data_set_has_warns() -> None:
    with pytest.warns(UserWarning, match='1 different images were scored in a data set of 3'):
        evaluate([sample('a', *maps(0))], size=3)


def _worker(rank: int, processes: int, number: int, port: int, folder: str) -> None:
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
    torch.distributed.init_process_group('gloo', rank=rank, world_size=processes)
    metric = PerImageBinaryMetric(
        csv_path=f'{folder}/scores.csv', collect_dir=f'{folder}/parts', prefix='image'
    )
    metric.dataset_meta = META
    for i in padded_shares(number, processes)[rank]:
        metric.process({}, [sample(f'{i}', *maps(i))])
    torch.save(metric.evaluate(number), f'{folder}/{rank}.pt')
    torch.distributed.destroy_process_group()


def test_two_processes_score_as_one(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    torch.multiprocessing.start_processes(
        _worker, args=(2, 5, port, str(tmp_path)), nprocs=2, start_method='fork'
    )
    expected = evaluate([sample(f'{i}', *maps(i)) for i in range(5)])
    for rank in range(2):
        assert dict(torch.load(tmp_path / f'{rank}.pt', weights_only=False)) == dict(expected)
    rows = list(csv.DictReader((tmp_path / 'scores.csv').open(newline='')))
    assert [row['img_path'] for row in rows] == ['0', '1', '2', '3', '4']


# ---------------------------------------------------------------------------------- csv


def test_csv_holds_one_row_per_image(tmp_path: Path) -> None:
    path = tmp_path / 'new' / 'scores.csv'
    empty = np.zeros((2, 2))
    samples = [*large_and_small(), sample('with, comma\n.jpg', empty, empty)]
    result = evaluate(samples, csv_path=str(path), empty_policy='skip')
    with path.open(newline='') as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        'img_path', 'tp', 'fp', 'fn', 'tn',
        'iou', 'dice', 'recall', 'precision', 'f2', 'accuracy',
    ]  # fmt: skip
    assert [row['img_path'] for row in rows] == ['large', 'small', 'with, comma\n.jpg']
    assert [rows[0][k] for k in ('tp', 'fp', 'fn', 'tn')] == ['98', '2', '0', '0']
    assert rows[2]['iou'] == ''
    assert float(rows[2]['accuracy']) == 100
    for column, key in (('iou', 'mIoU'), ('accuracy', 'mAcc')):
        values = [float(row[column]) for row in rows if row[column]]
        assert np.mean(values) == pytest.approx(result[f'image/{key}'])
    assert os.listdir(path.parent) == ['scores.csv']


def test_csv_survives_a_failed_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / 'scores.csv'
    evaluate([sample('a', *maps(0))], csv_path=str(path))
    before = path.read_text()
    monkeypatch.setattr(csv, 'writer', lambda file: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        evaluate([sample('b', *maps(1))], csv_path=str(path))
    assert path.read_text() == before
    assert os.listdir(tmp_path) == ['scores.csv']


def test_bad_csv_path_fails_at_construction(tmp_path: Path) -> None:
    (tmp_path / 'file').write_text('')
    wrong = {tmp_path: 'is a folder', tmp_path / 'file' / 'scores.csv': 'cannot be written'}
    for path, why in wrong.items():
        with pytest.raises(ValueError, match=f'csv_path {path} {why}'):
            PerImageBinaryMetric(csv_path=str(path))


def test_registered() -> None:
    metric = METRICS.build(dict(type='mmseg.PerImageBinaryMetric', prefix='test'))
    assert (metric.prefix, metric.protocol, metric.empty_policy) == ('test', 'input_size', 'strict')
