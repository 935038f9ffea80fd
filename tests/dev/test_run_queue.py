"""Runs of an ablation: their cores, their lock, and what a killed one left."""

import importlib
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from helpers import ROOT
from mmengine.config import Config

sys.path.insert(0, str(ROOT / 'tools' / 'analysis_tools'))
runs = importlib.import_module('_ablation_runs')


def test_cores_are_shared_out(monkeypatch):
    monkeypatch.setattr(os, 'sched_getaffinity', lambda pid: {5, 1, 2, 7, 4}, raising=False)
    assert runs.shares(2) == [[1, 2], [4, 5]]
    assert runs.shares(1) == [[1, 2, 4, 5, 7]]
    with pytest.raises(ValueError, match='6: choose 1 to 5'):
        runs.shares(6)
    monkeypatch.setenv('OMP_NUM_THREADS', '2')
    assert [runs.threads_of(share) for share in ([1], [1, 2, 3])] == [1, 2]
    monkeypatch.delenv('OMP_NUM_THREADS')
    assert runs.threads_of([1, 2, 3]) == 3


def test_a_training_left_behind_keeps_the_folder(tmp_path):
    with runs.locked(tmp_path) as lock:
        child = subprocess.Popen(['sleep', '60'], pass_fds=[lock])
    try:
        with pytest.raises(ValueError, match='is in use by another ablation'):
            with runs.locked(tmp_path):
                pass
    finally:
        child.kill()
        child.wait()
    with runs.locked(tmp_path):
        pass


def checkpoint(path: Path, whole: bool = True):
    with zipfile.ZipFile(path, 'w') as file:
        file.writestr('data', 'x' * 100)
    if not whole:
        path.write_bytes(path.read_bytes()[:60])


@pytest.fixture
def killed(tmp_path):
    """Make a run with these validated scores whose newest checkpoint is of epoch 3."""

    def make(scores, newest=3, **train_cfg):
        config = Config(
            dict(
                train_cfg=dict(max_epochs=5, val_interval=1) | train_cfg,
                default_hooks=dict(checkpoint=dict(save_best='image/mIoU')),
            )
        )
        run = runs.Run('a', 0, config, 'a.py', tmp_path / 'a')
        (run.work_dir / '1' / 'vis_data').mkdir(parents=True)
        rows = [dict(loss=1.0, step=epoch, epoch=epoch, time=1.0) for epoch in range(1, newest + 1)]
        rows += [{'image/mIoU': score, 'step': epoch} for epoch, score in scores.items()]
        text = ''.join(json.dumps(row) + '\n' for row in rows)
        (run.work_dir / '1' / 'vis_data' / 'scalars.json').write_text(text)
        for epoch in (newest - 1, newest):
            if epoch:
                checkpoint(run.work_dir / f'epoch_{epoch}.pth')
        (run.work_dir / 'last_checkpoint').write_text(str(run.work_dir / f'epoch_{newest}.pth'))
        return run

    return make


def pointer(run):
    path = run.work_dir / 'last_checkpoint'
    return Path(path.read_text()).name if path.exists() else None


def test_an_epoch_that_was_not_scored_is_trained_again(killed):
    run = killed({1: 10.0, 2: 20.0})
    runs.step_back(run)
    assert pointer(run) == 'epoch_2.pth'


def test_the_first_epoch_is_trained_again_from_the_start(killed):
    run = killed({}, newest=1)
    runs.step_back(run)
    assert pointer(run) is None


def test_without_an_older_checkpoint_the_newest_is_kept(killed):
    run = killed({1: 10.0, 2: 20.0})
    (run.work_dir / 'epoch_2.pth').unlink()
    runs.step_back(run)
    assert pointer(run) == 'epoch_3.pth'


@pytest.mark.parametrize(('interval', 'last'), [(2, 'epoch_3.pth'), (3, 'epoch_2.pth')])
def test_an_epoch_that_is_not_to_be_scored_is_no_loss(killed, interval, last):
    run = killed({}, val_interval=interval)
    runs.step_back(run)
    assert pointer(run) == last


@pytest.mark.parametrize(
    ('state', 'last'), [('whole', 'epoch_3.pth'), ('cut', 'epoch_2.pth'), ('none', 'epoch_2.pth')]
)
def test_a_best_checkpoint_that_is_not_whole_is_made_again(killed, state, last):
    run = killed({1: 10.0, 2: 20.0, 3: 30.0})
    if state != 'none':
        checkpoint(run.work_dir / 'best_image_mIoU_epoch_3.pth', whole=state == 'whole')
    runs.step_back(run)
    assert pointer(run) == last


def test_only_the_best_of_the_best_checkpoints_stays(killed):
    run = killed({1: 10.0, 2: 20.0, 3: 15.0})
    for epoch in (2, 3):
        checkpoint(run.work_dir / f'best_image_mIoU_epoch_{epoch}.pth')
    runs.keep_one_best(run.work_dir)
    assert [p.name for p in run.work_dir.glob('best*')] == ['best_image_mIoU_epoch_2.pth']


def test_none_is_removed_where_the_best_is_not_there(killed):
    run = killed({1: 10.0, 2: 20.0, 3: 15.0})
    checkpoint(run.work_dir / 'best_image_mIoU_epoch_3.pth')
    runs.keep_one_best(run.work_dir)
    assert len(list(run.work_dir.glob('best*'))) == 1


def test_differences_name_the_key():
    old = dict(a=1, b=dict(c=[dict(d=1), dict(d=2)]), e=(1, 2), g=0)
    new = dict(a=1, b=dict(c=[dict(d=1), dict(d=3)]), e=(1, 3), f=None)
    assert runs.differences(old, new) == [
        'b.c.1.d: 2 -> 3',
        'e: (1, 2) -> (1, 3)',
        "g: 0 -> 'absent'",
        "f: 'absent' -> None",
    ]
