"""PerImageBinaryMetric with further scores: several processes, and what it refuses."""

import os
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import load_script

from condseg_mmseg.evaluation import PerImageBinaryMetric
from condseg_mmseg.evaluation.extra_scores import EXTRA_SCORES
from condseg_mmseg.evaluation.functional import confusion_counts, scores_from_counts
from condseg_mmseg.evaluation.surface import surface_dice

metric_samples = load_script('tests/evaluation/metric_samples.py')
evaluate, maps, sample, samples = (
    getattr(metric_samples, name) for name in ('evaluate', 'maps', 'sample', 'samples')
)
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
    with pytest.raises(ValueError, match=r'have 2 classes, foreground=\(2,\)'):
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
