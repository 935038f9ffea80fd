"""Checkpoints are whole or not there, and a resume finds the newest whole one."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from attacks.checkpoints import holes
from engine.small_training import BEST, EPOCHS, files, snapshot, train
from mmengine.hooks import Hook

from condseg_mmseg.engine import AtomicCheckpointHook
from condseg_mmseg.engine.atomic_checkpoint import newest_whole, numbered_checkpoints
from condseg_mmseg.utils.errors import UserError


@pytest.fixture(scope='module')
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp('uninterrupted')
    train(folder, **BEST)
    return snapshot(folder)


def test_an_uninterrupted_run(uninterrupted):
    checkpoints, pointer = uninterrupted
    assert list(checkpoints) == ['best_score_epoch_3.pth', 'epoch_4.pth', 'epoch_5.pth']
    assert pointer == 'epoch_5.pth'
    for name in ('epoch_4.pth', 'epoch_5.pth'):
        assert checkpoints[name][-1]['best_ckpt'] == 'best_score_epoch_3.pth'


@pytest.mark.parametrize('pointer', [None, '', 'no/such/epoch_9.pth', 'epoch_1.pth'])
def test_resume_does_not_need_the_pointer(uninterrupted, tmp_path, pointer):
    train(tmp_path, epochs=3, **BEST)
    (tmp_path / 'last_checkpoint').unlink()
    if pointer is not None:
        (tmp_path / 'last_checkpoint').write_text(pointer)
    train(tmp_path, resume=True, **BEST)
    assert snapshot(tmp_path) == uninterrupted


@pytest.mark.parametrize(
    ('damage', 'words'),
    [
        (lambda data: data[:-100], 'it is truncated or damaged'),
        (lambda data: b'', 'it is empty'),
        (lambda data: next(holes(data, range(900, 901), 200)), 'it is'),
        (None, None),
    ],
)
def test_resume_takes_the_newest_whole_one_and_says_so(
    uninterrupted, tmp_path, damage, words, capfd
):
    train(tmp_path, epochs=4, **BEST)
    newest = tmp_path / 'epoch_4.pth'
    if damage:
        newest.write_bytes(damage(newest.read_bytes()))
    else:
        newest.unlink()
    runner = train(tmp_path, resume=True, **BEST)
    log = (tmp_path / runner.timestamp / f'{runner.timestamp}.log').read_text()
    assert f'resumed epoch: 3, iter: {3 * 2}' in log
    if words:
        assert f'epoch_4.pth is not used: {words}' in log
    assert snapshot(tmp_path) == uninterrupted


def test_only_damaged_checkpoints_stop_and_none_starts_anew(tmp_path):
    train(tmp_path, epochs=2)
    for path in tmp_path.glob('*.pth'):
        path.write_bytes(path.read_bytes()[:1000])
    words = r'all checkpoints to resume from are damaged \(epoch_2\.pth, epoch_1\.pth\): delete'
    with pytest.raises(UserError, match=words):
        train(tmp_path, resume=True)
    assert train(tmp_path / 'new', epochs=1, resume=True).epoch == 1
    assert newest_whole(tmp_path / 'none') == (None, [])


def test_the_newest_is_found_by_number_not_by_name(tmp_path):
    others = ('best_score_epoch_11.pth', 'epoch_10-00000000.pth', '.epoch_9.tmp_12.pth')
    for name in ('epoch_9.pth', 'epoch_10.pth', *others):
        (tmp_path / name).touch()
    assert [p.name for p in numbered_checkpoints(tmp_path)] == ['epoch_10.pth', 'epoch_9.pth']


def test_resume_from_a_folder_of_its_own_for_checkpoints(tmp_path):
    out = dict(out_dir=str(tmp_path / 'out'))
    train(tmp_path / 'work', epochs=2, **out)
    assert files(tmp_path / 'out' / 'work') == ['epoch_1.pth', 'epoch_2.pth']
    runner = train(tmp_path / 'work', epochs=3, resume=True, **out)
    log = (tmp_path / 'work' / runner.timestamp / f'{runner.timestamp}.log').read_text()
    assert 'resumed epoch: 2' in log
    assert 'has no checkpoint' not in log


def test_a_stale_pointer_without_checkpoints_starts_anew(tmp_path):
    (tmp_path / 'last_checkpoint').write_text('no/such/epoch_9.pth')
    assert train(tmp_path, epochs=1, resume=True).epoch == 1


def test_sigterm_is_given_back_after_training(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    train(tmp_path, epochs=1)
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_intervals_are_those_of_mmengine(tmp_path):
    """Same files as mmengine's hook leaves, for intervals of saving and validating."""
    for i, (interval, val_interval, begin) in enumerate(
        [(2, 1, 1), (1, 2, 1), (3, 2, 3), (2, 3, 1)]
    ):
        left = []
        for kind in ('CheckpointHook', 'AtomicCheckpointHook'):
            folder = tmp_path / f'{kind}_{i}'
            cfg = dict(by_epoch=True, max_epochs=EPOCHS, val_interval=val_interval, val_begin=begin)
            train(folder, train_cfg=cfg, type=kind, interval=interval, max_keep_ckpts=-1, **BEST)
            left.append(snapshot(folder)[0])
        assert left[0].keys() == left[1].keys()
        for name in left[0]:
            assert left[0][name][:4] == left[1][name][:4]


def test_iterations_instead_of_epochs(tmp_path):
    folder = tmp_path / 'a'
    cfg = dict(by_epoch=False, max_iters=6, val_interval=2)
    train(folder, train_cfg=cfg, by_epoch=False, interval=2, **BEST)
    assert files(folder)[-2:] == ['iter_4.pth', 'iter_6.pth']
    assert len(files(folder)) == 3


class FullDisk(Hook):
    """From the third epoch on, nothing more can be written."""

    def __init__(self, monkeypatch):
        self.monkeypatch = monkeypatch

    def before_train_epoch(self, runner):
        if runner.epoch == 2:

            def full(path, data):
                with path.open('wb') as file:
                    file.write(data[: len(data) // 2])
                raise OSError(28, 'No space left on device')

            self.monkeypatch.setattr(Path, 'write_bytes', full)


def test_a_full_disk_is_one_error_and_costs_nothing(uninterrupted, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        words = (
            r'best_score_epoch_3\.pth cannot be written: No space left on device; what was saved'
        )
        with pytest.raises(UserError, match=words):
            train(tmp_path, hooks=[FullDisk(patch)], **BEST)
    assert files(tmp_path) == ['best_score_epoch_1.pth', 'epoch_1.pth', 'epoch_2.pth']
    assert not [path for path in tmp_path.iterdir() if path.name.startswith('.')]
    train(tmp_path, resume=True, **BEST)
    assert snapshot(tmp_path) == uninterrupted


class ReadOnly(Hook):
    """From the third epoch on, the folder is read-only."""

    def __init__(self, monkeypatch, but=()):
        self.monkeypatch, self.but = monkeypatch, but

    def before_train_epoch(self, runner):
        plain = tempfile.mkstemp

        def refuse(**options):
            if options['prefix'].startswith(self.but):
                return plain(**options)
            raise OSError(30, 'Read-only file system')

        if runner.epoch == 2:
            self.monkeypatch.setattr(tempfile, 'mkstemp', refuse)


@pytest.mark.parametrize(
    ('but', 'failed', 'left'),
    [
        ((), 'best_score_epoch_3.pth', ['best_score_epoch_1.pth', 'epoch_1.pth', 'epoch_2.pth']),
        (('.best', '.epoch'), 'last_checkpoint', None),
    ],
)
def test_a_read_only_folder_is_one_error_and_costs_nothing(
    uninterrupted, tmp_path, monkeypatch, but, failed, left
):
    with monkeypatch.context() as patch:
        words = rf'/{failed} cannot be written: Read-only file system; what was saved before is'
        with pytest.raises(UserError, match=words):
            train(tmp_path, hooks=[ReadOnly(patch, but)], **BEST)
    assert left is None or files(tmp_path) == left
    train(tmp_path, resume=True, **BEST)
    found, pointer = snapshot(tmp_path)
    assert {name: found[name] for name in uninterrupted[0]} == uninterrupted[0]
    assert pointer == uninterrupted[1]


def test_a_resume_by_name_writes_the_pointer_that_a_crash_left_behind(uninterrupted, tmp_path):
    train(tmp_path, **BEST)
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'epoch_4.pth'))
    train(tmp_path, resume=True, load_from=str(tmp_path / 'epoch_5.pth'), **BEST)
    assert snapshot(tmp_path) == uninterrupted


class Waits(Hook):
    """In the third epoch, waits for a signal."""

    def before_train_epoch(self, runner):
        if runner.epoch == 2:
            print('waiting', flush=True)
            time.sleep(60)


def test_sigterm_ends_at_once_and_names_the_last_checkpoint(uninterrupted, tmp_path):
    process = subprocess.Popen(
        [sys.executable, __file__, str(tmp_path)], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)},
    )  # fmt: skip
    while 'waiting' not in (line := process.stdout.readline()):
        assert line, 'it ended before'
    process.terminate()
    printed = process.communicate(timeout=30)[0]
    assert process.returncode == 143
    assert f'SIGTERM: the training ends; --resume goes on from {tmp_path}/epoch_2.pth' in printed
    train(tmp_path, resume=True, **BEST)
    assert snapshot(tmp_path) == uninterrupted


def test_it_is_mmengines_hook_otherwise():
    hook = AtomicCheckpointHook(interval=2, save_best='score', rule='less')
    assert hook.is_better_than['score'](1, 2)
    with pytest.raises(TypeError, match='backend_args'):
        AtomicCheckpointHook(backend_args=dict(backend='petrel'))


if __name__ == '__main__':
    train(sys.argv[1], hooks=[Waits()], **BEST)
