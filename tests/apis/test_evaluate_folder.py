"""Scoring folders: the numbers of the metric, what predictions look like, what is refused."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from folders import SHAPES, disc, refuse, score, write
from helpers import ROOT
from mmengine.structures import PixelData
from mmseg.registry import TRANSFORMS
from mmseg.structures import SegDataSample

import condseg_mmseg  # noqa: F401
from condseg_mmseg.apis.evaluate_folder import evaluate_folder
from condseg_mmseg.cli import main
from condseg_mmseg.evaluation import PerImageBinaryMetric
from condseg_mmseg.evaluation.extra_scores import EXTRA_SCORES
from condseg_mmseg.evaluation.functional import SCORES
from condseg_mmseg.evaluation.prediction_folder import detect_mode


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Masks (one of them with JPEG noise), and grey predictions of the same sizes."""
    rng = np.random.default_rng(0)
    for i, (name, shape) in enumerate(SHAPES.items()):
        truth = disc(shape, 14, 15 + i, 5 + 2 * i)
        ending = 'jpg' if name == 'b' else 'png'
        write(tmp_path / 'gt' / f'{name}.{ending}', 255 * truth)
        soft = 255.0 * disc(shape, 15, 13 + i, 6 + i) * 0.8 + rng.integers(0, 51, shape)
        write(tmp_path / 'pred' / f'{name}.png', soft)
    return tmp_path


# --------------------------------------------------------------------- the metric's numbers


def through_mmseg(data: Path, size: tuple | None, **options) -> dict:
    """Score the same predictions as mmseg's test loop would: pipeline, sample, metric."""
    steps = [dict(type='LoadImageFromFile')]
    if size:
        steps.append(dict(type='Resize', scale=size[::-1], keep_ratio=False))
    steps.append(dict(type='LoadBinaryMask'))
    if size:
        steps.append(dict(type='ScoreAtInputSize'))
    steps.append(dict(type='PackSegInputs'))
    metric = PerImageBinaryMetric(protocol='input_size' if size else 'original', **options)
    metric.dataset_meta = dict(classes=('background', 'foreground'))
    transforms = [TRANSFORMS.build(step) for step in steps]
    for name, shape in SHAPES.items():
        image = write(data / 'images' / f'{name}.png', np.zeros((*shape, 3)))
        (mask,) = (data / 'gt').glob(f'{name}.*')
        packed = dict(
            img_path=str(image), seg_map_path=str(mask), seg_fields=[],
            reduce_zero_label=False, label_map=None,
        )  # fmt: skip
        for transform in transforms:
            packed = transform(packed)
        sample: SegDataSample = packed['data_samples']
        grey = cv2.imread(str(data / 'pred' / f'{name}.png'), cv2.IMREAD_UNCHANGED)
        probability = torch.from_numpy((grey / 255).astype(np.float32))[None]
        assert probability.shape[1:] == tuple(sample.ori_shape)
        sample.seg_logits = PixelData(data=probability)
        sample.pred_sem_seg = PixelData(data=(probability > 0.5).to(probability))
        metric.process({}, [sample.to_dict()])
    return dict(metric.evaluate(len(SHAPES)))


@pytest.mark.parametrize('size', [None, (32, 48)])
def test_numbers_are_those_of_mmseg_with_the_metric(data: Path, size: tuple | None) -> None:
    options = []
    if size:
        options = ['--size', *size]
        for name, shape in SHAPES.items():  # predictions at the input size, as a network makes
            grey = cv2.imread(str(data / 'pred' / f'{name}.png'), cv2.IMREAD_UNCHANGED)
            assert grey.shape == shape
            write(data / 'pred' / f'{name}.png', cv2.resize(grey, size[::-1]))
    names = tuple(EXTRA_SCORES)
    report = score(
        data, *options, '--extra-metrics', 'all', '--size-groups', '--bootstrap', 50,
        '--csv', data / 'folder.csv', '--strict-size',
    )  # fmt: skip
    expected = through_mmseg(
        data, size,
        extra_metrics=names, size_groups=True, bootstrap=50, csv_path=str(data / 'mmseg.csv'),
    )  # fmt: skip
    assert report['results'] == expected
    assert 50 < expected['image/mDice'] < 95
    files = [list(csv.reader((data / f'{x}.csv').open(newline=''))) for x in ('folder', 'mmseg')]
    assert files[0][0] == files[1][0]
    assert files[0][0] == ['img_path', 'tp', 'fp', 'fn', 'tn', *SCORES, *names, 'size']
    assert [row[1:] for row in files[0]] == [row[1:] for row in files[1]]
    assert [row[0] for row in files[0][1:]] == ['a', 'b', 'c', 'd']


def test_masks_against_their_copies(data: Path) -> None:
    """JPEG noise or not, and whatever the size."""
    shutil.copytree(data / 'gt', data / 'copy')
    for options in ((), ('--protocol', 'input_size')):
        report = score(data, *options, pred='copy')
        assert report['results']['image/mDice'] == 100
        assert report['predictions'] == 'binary, near 0 and 255'
    for mode in ('auto', 'nonzero'):
        for name, shape in SHAPES.items():
            for path in (data / 'gt').glob(f'{name}.*'):
                path.unlink()
            write(data / 'gt' / f'{name}.png', 255 * disc(shape, 15, 14, 6))
        shutil.rmtree(data / 'copy')
        shutil.copytree(data / 'gt', data / 'copy')
        for size in ((16, 16), (20, 17), (64, 80)):  # halfway pixels too
            report = score(data, '--size', *size, '--mask-mode', mode, pred='copy')
            assert report['results']['image/mDice'] == 100
            assert report['resized'] == len(SHAPES)


def test_sizes(data: Path, capsys: pytest.CaptureFixture) -> None:
    grey = cv2.imread(str(data / 'pred' / 'a.png'), cv2.IMREAD_UNCHANGED)
    small = cv2.resize(grey, (20, 16))
    write(data / 'pred' / 'a.png', small)
    report = score(data, '--csv', data / 'a.csv')
    assert report['resized'] == 1
    assert '1 prediction of another size, resized bilinearly' in capsys.readouterr().out
    row = next(csv.DictReader((data / 'a.csv').open(newline='')))
    large = cv2.resize((small / 255).astype(np.float32), (41, 31)) > 0.5
    truth = cv2.imread(str(data / 'gt' / 'a.png'), cv2.IMREAD_UNCHANGED) > 127
    assert int(row['tp']) == (large & truth).sum()
    assert int(row['tp']) + int(row['fn']) == truth.sum()
    assert 'prediction of a: 16 x 20, scored at 31 x 41' in refuse(capsys, data, '--strict-size')
    # at the size of the prediction nothing is resized but the truth
    report = score(data, '--protocol', 'input_size', '--strict-size', '--csv', data / 'a.csv')
    row = next(csv.DictReader((data / 'a.csv').open(newline='')))
    assert sum(int(row[key]) for key in ('tp', 'fp', 'fn', 'tn')) == 16 * 20
    assert report['resized'] == 0


def test_threshold_and_policy_reach_the_metric(data: Path) -> None:
    low = score(data, '--threshold', 0)['results']
    assert low['image/mRecall'] > 99
    assert score(data, '--threshold', 0.999)['results']['image/mRecall'] == 0
    write(data / 'gt' / 'e.png', np.zeros((9, 9)))
    write(data / 'pred' / 'e.png', np.zeros((9, 9)))
    strict, skip = (score(data, '--empty-policy', p) for p in ('strict', 'skip'))
    assert strict['results']['image/mDice'] == pytest.approx(
        (4 * skip['results']['image/mDice'] + 100) / 5
    )
    assert skip['undefined']['dice'] == 1
    assert strict['undefined'] == {}


def test_label_masks_as_truth(data: Path) -> None:
    expected = score(data)['results']
    for name in SHAPES:
        (path,) = (data / 'gt').glob(f'{name}.*')
        mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) > 127
        path.unlink()
        write(data / 'gt' / f'{name}.png', 2 * mask)
    report = score(data, '--mask-mode', 'nonzero')
    assert report['results'] == expected
    assert report['truths'] == 'foreground above 0 (4 of 4)'


# ------------------------------------------------------------------------------- options


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (('--size', 8, 8, '--protocol', 'original'), 'makes the protocol input_size'),
        (('--size', 0, 8), 'got [0, 8]'),
        (('--csv', 'new.csv', '--json', './new.csv'), '--csv and --json name the same file'),
        (('--threshold', 1), 'got 1.0'),
        (('--threshold', 'nan'), 'got nan'),
        (('--bootstrap', -1), 'bootstrap must be'),
        (('--surface-tolerance', -2), 'surface_tolerance must be'),
        (('--extra-metrics', 'e_measure'), 'invalid choice'),
        (
            ('--csv', '/dev/null/x.csv'),
            '--csv /dev/null/x.csv cannot be written: /dev/null is no',
        ),
    ],
)
def test_wrong_options(
    data: Path, options: tuple, message: str, capsys: pytest.CaptureFixture
) -> None:
    assert message in refuse(capsys, data, *options)


def test_a_json_path_that_cannot_be_written_stops_before_the_work(
    data: Path, capsys: pytest.CaptureFixture
) -> None:
    for path, reason in ((data, 'is a folder'), ('/dev/null/x.json', 'cannot be written')):
        folders = [str(data / name) for name in ('pred', 'gt')]
        assert main(['evaluate', *folders, '--json', str(path)]) == 2
        assert f'--json {path} {reason}' in capsys.readouterr().err


def test_table(data: Path, capsys: pytest.CaptureFixture) -> None:
    result = score(data, '--extra-metrics', 'hd95', '--bootstrap', 20, '--size-groups')['results']
    out = capsys.readouterr().out
    rows = {cells[1]: cells[2:-1] for cells in (
        [cell.strip() for cell in line.split('|')] for line in out.splitlines() if '|' in line
    )}  # fmt: skip
    header = ['mean', '95 % low', '95 % high', 'small', 'medium', 'large', 'unit', 'images']
    assert rows['score'] == header
    ends = ('', '_low', '_high', '_small', '_medium', '_large')
    for key, unit in (('mDice', '%'), ('mHD95', 'px')):
        expected = [f'{result[f"image/{key}{end}"]:.2f}' for end in ends]
        assert rows[key] == [*expected, unit, '4']


@pytest.mark.slow
@pytest.mark.parametrize(
    'command',
    [['-m', 'condseg_mmseg', 'evaluate'], [f'{ROOT}/tools/analysis_tools/evaluate_folder.py']],
)
def test_runs_from_anywhere_and_keeps_what_is_there(data: Path, command: list) -> None:
    command = [sys.executable, *command, 'pred', 'gt', '--csv', 'new/a.csv']
    done = subprocess.run(command, cwd=data, capture_output=True, text=True, check=True)
    assert done.stdout.startswith('pred against gt: 4 images\n')
    assert len((data / 'new' / 'a.csv').read_text().splitlines()) == 5
    assert sorted(os.listdir(data)) == ['gt', 'new', 'pred']
    (data / 'new' / 'a.csv').write_text('kept')
    again = subprocess.run(command, cwd=data, capture_output=True, text=True)
    assert again.returncode == 2
    assert again.stderr == 'error: --csv new/a.csv is there already: add --force to replace it\n'
    assert (data / 'new' / 'a.csv').read_text() == 'kept'


def test_real_masks_shrunk(kvasir_dir: Path, tmp_path: Path) -> None:
    names = (kvasir_dir / 'val.txt').read_text().split()[:3]
    (tmp_path / 'list.txt').write_text('\n'.join(names))
    for name in names:
        mask = cv2.imread(str(kvasir_dir / 'masks' / f'{name}.jpg'), 0) > 127
        eroded = cv2.erode(mask.astype(np.uint8), np.ones((9, 9)))
        write(tmp_path / 'pred' / f'{name}.png', 255 * eroded)
    out = tmp_path / 'a.json'
    report = evaluate_folder(
        tmp_path / 'pred', kvasir_dir / 'masks', names=tmp_path / 'list.txt', json=out
    )
    result = report['results']
    assert json.loads(out.read_text()) == report
    assert result['image/mPrecision'] == 100
    assert 60 < result['image/mRecall'] < 99
    assert result['image/mIoU'] == pytest.approx(result['image/mRecall'])
    masks = [str(kvasir_dir / 'masks' / f'{name}.jpg') for name in names]
    assert detect_mode(masks) == ('probability', 'binary, near 0 and 255')
