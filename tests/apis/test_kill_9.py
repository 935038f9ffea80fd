"""Both stages, killed at moments that nobody chose, end as if they had not been."""

import contextlib
import os
import random
import signal
import time

import pytest
import torch
from apis.two_stage_bench import wait
from helpers import FULL, figure

from condseg_mmseg.engine import read_checkpoint

KILLS, EPOCHS = (12, 10) if FULL else (2, 3)


def pth(work):
    return set(work.glob('stage?/*.pth'))  # hidden ones too, which are being written


def last(work, stage):
    """What the last and the best checkpoint of a stage hold, but for times."""
    entry = work['stages'][stage]
    return entry['last_file'], entry['best_file']


def content(path):
    found = read_checkpoint(path)
    return [found.get(key) for key in ('state_dict', 'optimizer', 'param_schedulers')]  # best: one


def same(one, two):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, two)
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(two) and all(map(same, one, two))
    return one == two


def kill_all(process, work):
    """SIGKILL for the command and for the training, which has a process group of its own."""
    with contextlib.suppress(ProcessLookupError, ValueError, FileNotFoundError):
        os.killpg(int((work / '.lock').read_text()), signal.SIGKILL)
    process.kill()
    process.wait(60)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_again_and_again(bench):
    bench.args += ['--cfg-options', f'train_cfg.max_epochs={EPOCHS}']
    status, out = bench.run()
    assert status == 0, out
    whole = bench.record()
    expected = {s: [content(bench.work / s / n) for n in last(whole, s)] for s in whole['stages']}
    bench.work.rename(bench.folder / 'whole')
    chance, saved = random.Random(0), []
    for number in range(KILLS):
        process, before = bench.start('--resume'), pth(bench.work)
        if number % 2:
            time.sleep(chance.uniform(1, 7))
        else:  # a checkpoint is being written, or has just been
            wait(lambda p=process, b=before: pth(bench.work) - b or p.poll() is not None, 300)
            time.sleep(chance.uniform(0, 0.3))
        assert process.poll() is None, (bench.output(), saved)
        kill_all(process, bench.work)
        saved.append(sorted(path.name for path in pth(bench.work)))
    status, out = bench.run('--resume')
    assert status == 0, (out, saved)
    record = bench.record()
    for stage, (newest, best) in expected.items():
        assert last(record, stage) == last(whole, stage), saved
        for name, wanted in zip(last(record, stage), (newest, best), strict=True):
            assert same(content(bench.work / stage / name), wanted), (stage, name, saved)
    figure('kill -9 of both stages', f'{KILLS}, each resumed to the same weights')
