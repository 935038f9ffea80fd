"""What `condseg evaluate` takes for the truth, and the docs' config for the size of the files."""

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
from folders import SHAPES, disc, refuse, score, write
from helpers import ROOT
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import METRICS

import condseg_mmseg  # noqa: F401


def object_of(name: str) -> np.ndarray:
    """A disc of 0 and 1."""
    return disc(SHAPES[name], 14, 15, 60**0.5).astype(np.uint8)


def truths(data: Path, *values: int) -> None:
    """Write the truths, each with one of the values as foreground."""
    for name, value in zip(SHAPES, itertools.cycle(values)):
        write(data / 'gt' / f'{name}.png', value * object_of(name))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Predictions: the objects, moved by a pixel."""
    for name in SHAPES:
        write(tmp_path / 'pred' / f'{name}.png', 255 * np.roll(object_of(name), 1, axis=1))
    return tmp_path


@pytest.mark.parametrize(
    ('values', 'found'),
    [
        ((1,), '0 and 1 (4 of 4)'),  # as prepare.py writes them
        ((255,), '0 and 255 (4 of 4)'),
        ((1, 255), '0 and 1 (2 of 4), 0 and 255 (2 of 4)'),
        ((1, 255, 1, 0), '0 and 1 (2 of 4), 0 and 255 (1 of 4), empty (1 of 4)'),
    ],
)
@pytest.mark.parametrize('options', [(), ('--size', 24, 24)])
def test_truths_are_told_apart_file_by_file(
    data: Path, values: tuple, found: str, options: tuple, capsys: pytest.CaptureFixture
) -> None:
    truths(data, *values)
    for name, value in zip(SHAPES, itertools.cycle(values)):
        write(data / 'pred' / f'{name}.png', 255 * (value > 0) * object_of(name))
    report = score(data, *options)
    assert report['results']['image/mIoU'] == 100
    assert report['settings']['mask_mode'] == 'auto'
    assert report['truths'] == found
    assert f'truth: {found}\n' in capsys.readouterr().out


def test_the_mode_of_truths_can_be_forced(data: Path) -> None:
    truths(data, 255)
    expected = score(data)['results']
    assert score(data, '--mask-mode', 'threshold')['results'] == expected
    truths(data, 255, 1)
    report = score(data, '--mask-mode', 'threshold')
    assert report['truths'] == 'empty (2 of 4), foreground above 127 (2 of 4)'


def test_labels_are_no_truth_for_auto(data: Path, capsys: pytest.CaptureFixture) -> None:
    truths(data, 255)
    write(data / 'gt' / 'c.png', 3 * object_of('c'))
    message = refuse(capsys, data, '--csv', data / 'a.csv')
    assert f'{data}/gt/c.png: neither a mask of 0 and 1 nor one of 0 and 255' in message
    assert 'gt/a.png' not in message
    assert 'give --mask-mode nonzero' in message
    assert 'LoadBinaryMask' not in message  # a remedy for configs
    assert not (data / 'a.csv').exists()


@pytest.mark.parametrize('mode', ['auto', 'threshold', 'nonzero'])
def test_truths_that_are_all_empty(data: Path, mode: str, capsys: pytest.CaptureFixture) -> None:
    truths(data, 0)
    message = refuse(capsys, data, '--mask-mode', mode)
    assert 'all 4 true masks are empty' in message
    assert 'their highest value is 0' in message
    assert '--mask-mode auto' not in message
    write(data / 'gt' / 'a.png', object_of('a'))  # one of 0 and 1
    if mode == 'threshold':
        message = refuse(capsys, data, '--mask-mode', mode)
        assert 'their highest value is 1; try --mask-mode auto' in message
    else:
        assert score(data, '--mask-mode', mode)['images'] == 4


@pytest.mark.parametrize('preset', ['', '_official'])
def test_the_leaf_of_the_docs_scores_at_the_size_of_the_files(tmp_path: Path, preset: str) -> None:
    text = (ROOT / 'docs' / 'scores.md').read_text()
    (leaf,) = re.findall(r"```python\n(_base_ = .*?protocol='original'.*?)```", text, re.DOTALL)
    assert "['./condseg_r50_1x" in leaf
    configs = (ROOT / 'configs' / 'condseg').as_posix()
    leaf = leaf.replace("'./condseg_r50_", f"'{configs}/condseg_r50{preset}_")
    (tmp_path / 'leaf.py').write_text(leaf)
    init_default_scope('mmseg')
    cfg = Config.fromfile(tmp_path / 'leaf.py')
    val = [step.type for step in cfg.val_dataloader.dataset.pipeline]
    test = [step.type for step in cfg.test_dataloader.dataset.pipeline]
    assert 'ScoreAtInputSize' in val
    assert test == [kind for kind in val if kind != 'ScoreAtInputSize']
    assert cfg.test_dataloader.dataset.ann_file == 'val.txt'
    assert [metric.get('protocol') for metric in cfg.val_evaluator] == ['input_size', None]
    assert [metric.type for metric in cfg.test_evaluator] == ['PerImageBinaryMetric', 'IoUMetric']

    mask = object_of('a')
    packed = Compose(cfg.test_dataloader.dataset.pipeline)(
        dict(
            img_path=str(write(tmp_path / 'image.png', np.zeros((31, 41, 3)))),
            seg_map_path=str(write(tmp_path / 'mask.png', mask)),
            seg_fields=[], reduce_zero_label=False, label_map=None,
        )
    )  # fmt: skip
    sample = packed['data_samples']
    assert packed['inputs'].shape[1:] == (256, 256)
    assert (sample.gt_sem_seg.data[0].numpy() == mask).all()
    metric = METRICS.build(cfg.test_evaluator[0])
    assert metric.protocol == 'original'
    metric.dataset_meta = dict(classes=('background', 'foreground'))
    sample.pred_sem_seg = PixelData(data=sample.gt_sem_seg.data.clone())
    metric.process({}, [sample.to_dict()])
    assert metric.evaluate(1)['image/mIoU'] == 100
