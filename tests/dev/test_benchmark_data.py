"""benchmark.py data: what is counted, and a whole run at a tiny size."""

import argparse
import json
import time

import benchmark
import numpy as np
import pytest
from _benchmark import data
from helpers import ROOT, blob
from mmengine.config import Config
from mmengine.registry import DefaultScope
from PIL import Image

DEMO = ROOT / 'configs' / 'condseg' / 'condseg_r18_1xb8-4e_demo-96x96.py'


@pytest.fixture
def folder(tmp_path):
    """Eighteen images as the demo data has them, 8 a batch."""
    generator = np.random.default_rng(0)
    for kind in ('images', 'masks'):
        (tmp_path / kind).mkdir()
    names = [f'n{i:02}' for i in range(18)]
    for name in names:
        image = generator.integers(0, 256, (96, 96, 3), dtype=np.uint8)
        Image.fromarray(image).save(tmp_path / 'images' / f'{name}.png')
        Image.fromarray(blob(96, 96)).save(tmp_path / 'masks' / f'{name}.png')
    (tmp_path / 'train.txt').write_text('\n'.join(names[:17]))
    (tmp_path / 'val.txt').write_text(names[17])
    return tmp_path


class Slow:
    """A data set whose steps last 0, 50 and 20 ms an image."""

    def __init__(self):
        transforms = [self.lasting(0), self.lasting(0.05), self.lasting(0.02)]
        self.pipeline = argparse.Namespace(transforms=transforms)

    @staticmethod
    def lasting(seconds):
        def step(results):
            time.sleep(seconds)
            return results

        return step

    def get_data_info(self, index):
        time.sleep(0.03)
        return {}

    def __len__(self):
        return 4


def test_seconds_go_to_the_transform_that_takes_them():
    found = data.one_process(Slow())
    for epoch in ('first', 'later'):
        spent = [step[epoch] for step in found['steps']]
        assert spent == [pytest.approx(ms, abs=15) for ms in (0, 50, 20)]  # an image
    assert found['images_per_second'] == pytest.approx(10, rel=0.25)


def test_speed_counts_images_of_whole_batches(folder, monkeypatch):
    cfg = Config.fromfile(DEMO)
    cfg.train_dataloader.dataset.data_root = str(folder)
    clock = iter(range(100))
    monkeypatch.setattr(data.time, 'perf_counter', lambda: 2.0 * next(clock))
    with DefaultScope.overwrite_default_scope('mmseg'):
        row = data.loader_speed(cfg, 0, 3)
    assert row['epochs'] == [8.0] * 3  # 2 batches of 8 in 2 s; the 17th image is dropped
    assert row['first'] == row['later'] == 8.0
    # a training at 8 / 0.95 images/s alone waits for 1 - 8 / (8 / 0.95) = 5 % of its time
    assert row['needed'] == pytest.approx(8 / 0.95)


@pytest.mark.slow
def test_a_whole_run(folder, capsys):
    """The figures are of this machine; what must hold on any is asserted."""
    options = f'data --config {DEMO} --data-root {folder} --workers 0 --epochs 2 --iterations 2'
    path = folder / 'out.json'
    assert benchmark.main([*options.split(), '--skip', '1', '--json', str(path)]) == 0
    record = json.loads(path.read_text())['data']
    assert (record['images'], record['batch']) == (17, 8)
    process, training = record['process'], record['training']
    names = [step['name'] for step in process['steps']]
    assert (names[0], names[-1]) == ('LoadImageFromFile', 'PackSegInputs')
    spent = sum(step['later'] for step in process['steps'])
    assert spent <= 1e3 / process['images_per_second'] <= 2 * spent + 5
    assert [(row['workers'], len(row['epochs'])) for row in record['loaders']] == [(0, 2)]
    assert training['iterations'] == 2
    assert 0 < training['data_seconds'] < training['seconds']
    assert 0 < training['share'] < 1
    # 17 images are two batches: three steps take two epochs
    assert training['images_per_second'] == pytest.approx(8 / training['seconds'], rel=0.5)
    text = capsys.readouterr().out
    assert f'{process["images_per_second"]:.0f} images/s.' in text
    assert f'{training["share"]:.2%} of the time' in text
    assert 'Training (' not in data.data_table(record | dict(training=None))


def test_too_few_images_are_named(folder, capsys):
    options = f'data --config {DEMO} --data-root {folder} --images 3'
    assert benchmark.main(options.split()) == 2
    assert 'error: --images must be 8 or more, one batch, got 3' in capsys.readouterr().err
