"""Many small images through training input, test and evaluation: flat memory, no open files left.

600 images; 10,000 with CONDSEG_MMSEG_TESTS=full.
"""

import gc
import os
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers import FULL, figure
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from small_models import CONFIG, build

from condseg_mmseg.apis.evaluate_folder import evaluate_folder

IMAGES = 10_000 if FULL else 600
LEAK = 64 * 64 * 3  # bytes, of an image that is kept each time


def used():
    """Memory (MB) and open files of this process and its workers."""
    gc.collect()
    children = Path(f'/proc/self/task/{os.getpid()}/children').read_text().split()
    pages = files = 0
    for number in ('self', *children):
        pages += int(Path(f'/proc/{number}/statm').read_text().split()[1])
        files += len(os.listdir(f'/proc/{number}/fd'))
    return pages * os.sysconf('SC_PAGE_SIZE') / 2**20, files


class Meter:
    """Looks at a tenth (caches are filled), at the half and at the end."""

    def __init__(self, total):
        self.total, self.seen, self.begin = total, {}, time.monotonic()

    def __call__(self, done):
        for part in (0.1, 0.5, 1.0):
            if part not in self.seen and done >= part * self.total:
                self.seen[part] = used()

    def check(self, what):
        rate = self.total / (time.monotonic() - self.begin)
        (half, files), (end, files_end) = self.seen[0.5], self.seen[1.0]
        growth = (end - half) * 2**20 / (self.total / 2)
        text = f'{self.total:,} images, {rate:.0f} images/s, {half:.0f} MB at the half, '
        figure(f'load: {what}', f'{text}{end:.0f} MB at the end')
        print(f'{what}: {self.seen}, {growth:.0f} bytes an image')
        assert growth < LEAK / 2
        assert files_end <= files


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp('load')
    rng = np.random.default_rng(0)
    for folder in ('images', 'masks', 'predictions'):
        (root / folder).mkdir()
    names = [f'{i:05}' for i in range(IMAGES)]
    for name in names:
        mask = np.zeros((64, 64), np.uint8)
        cv2.circle(mask, tuple(rng.integers(20, 44, 2).tolist()), int(rng.integers(5, 20)), 255, -1)
        image = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
        cv2.imwrite(str(root / 'images' / f'{name}.png'), image)
        cv2.imwrite(str(root / 'masks' / f'{name}.png'), mask)
        cv2.imwrite(str(root / 'predictions' / f'{name}.png'), np.roll(mask, 2, 0))
    (root / 'train.txt').write_text('\n'.join(names))
    return root


def config(data, folder):
    cfg = Config.fromfile(CONFIG)
    for loader in (cfg.train_dataloader, cfg.test_dataloader):
        loader.dataset.update(data_root=str(data), ann_file='train.txt')
        loader.dataset.pop('other_ann_files', None)
        loader.update(num_workers=2, persistent_workers=True, batch_size=10)
    cfg.update(work_dir=str(folder), load_from=str(folder / 'a.pth'), experiment_name=folder.name)
    init_default_scope('mmseg')
    return cfg


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_training_input(data, tmp_path):
    loader = Runner.build_dataloader(config(data, tmp_path).train_dataloader, seed=0)
    assert len(loader.dataset) == IMAGES
    meter = Meter(2 * IMAGES)
    for run in range(2):  # a second pass by the same workers
        for number, batch in enumerate(loader, 1):
            meter(run * IMAGES + 10 * number)
            assert len(batch['inputs']) == 10
    meter.check('training input')


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_test(data, tmp_path):
    build(CONFIG, tmp_path / 'a.pth')
    runner = Runner.from_cfg(config(data, tmp_path))
    meter = Meter(IMAGES)

    class Look(Hook):
        def after_test_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            meter(10 * (batch_idx + 1))

    runner.register_hook(Look())
    scores = runner.test()
    assert len(runner.test_evaluator.metrics[0].table.names) == IMAGES
    assert 0 <= scores['image/mIoU'] <= 100
    meter.check('test')


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_evaluate_folder(data):
    meter = Meter(IMAGES)
    report = evaluate_folder(
        data / 'predictions', data / 'masks', progress=lambda what, done, total: meter(done)
    )
    assert report['images'] == IMAGES
    assert 50 < report['results']['image/mDice'] < 100
    meter.check('evaluate_folder')
