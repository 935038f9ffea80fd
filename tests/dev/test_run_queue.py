"""One run: its config, what a killed one left, failures, the lock."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import run_queue
from mmengine.config import Config
from run_queue import Run, make

from condseg_mmseg.utils.errors import UserError
from condseg_mmseg.utils.lock import locked

CONFIG = """
train_cfg = dict(max_epochs=5, val_interval=1)
test_evaluator = [dict(type='PerImageBinaryMetric'), dict(type='IoUMetric')]
"""


@pytest.fixture
def make_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path('a.py').write_text(CONFIG)

    def make(label='a', seed=0, configs=('a.py',), **options):
        return Run(label, seed, configs, Path('out') / label / f'seed{seed}', options)

    return make


def test_options_and_seed_go_into_the_config_that_is_trained(make_run):
    run = make_run(seed=3, **{'train_cfg.max_epochs': 9})
    run.prepare()
    Path('a.py').unlink()  # later edits change nothing
    config = Config.fromfile('out/a/seed3/config.py')
    assert (config.randomness.seed, config.train_cfg.max_epochs) == (3, 9)
    command = run_queue.train_command(run.files, run.work_dir)
    assert command[1:4] == ['-m', 'condseg_mmseg', 'train']
    assert command[4:] == ['out/a/seed3/config.py', '--work-dir', 'out/a/seed3/train', '--resume']


def test_two_configs_are_two_stages(make_run):
    run = make_run(configs=('a.py', 'a.py'))
    assert [str(path) for path in run.stages] == [
        'out/a/seed0/train/stage1',
        'out/a/seed0/train/stage2',
    ]
    command = run_queue.train_command(run.files, run.work_dir)
    assert command[4:6] == ['out/a/seed0/stage1.py', 'out/a/seed0/stage2.py']


def test_what_an_earlier_attempt_left_is_compared(make_run):
    run = make_run()
    run.prepare()
    run.check_earlier()
    other = make_run(**{'train_cfg.max_epochs': 9})
    with pytest.raises(UserError, match=r'another config.*\n  - .*=5.*\n  \+ .*=9'):
        other.check_earlier()


def python(code):
    return [sys.executable, '-c', code]


def test_a_run_that_fails_says_why(make_run, monkeypatch):
    Path('out').mkdir()
    commands = {
        0: python('print("the last words"); raise SystemExit(3)'),
        1: python('import os; open("threads", "w").write(os.environ["OMP_NUM_THREADS"])'),
    }
    monkeypatch.setenv('OMP_NUM_THREADS', '1')
    monkeypatch.setattr(
        run_queue, 'train_command', lambda files, folder: commands[int(folder.parent.name[-1])]
    )
    runs = [make_run(seed=seed) for seed in range(2)]
    with locked('out') as lock:
        problems = [make(run, lock) for run in runs]
    assert problems[0] == 'ended with status 3; the end of out/a/seed0/log:\n  the last words'
    assert runs[0].failed.read_text() == problems[0]
    # it trained, but there is nothing to score
    assert problems[1].startswith('ValueError: out/a/seed1/train: no best checkpoint')
    assert Path('threads').read_text() == '1'
    assert [run.result() for run in runs] == [None, None]


def test_an_exception_ends_the_training_and_a_left_one_keeps_the_lock(make_run, monkeypatch):
    sleep = 'import os, time; open("pid", "w").write(str(os.getpid())); time.sleep(60)'
    monkeypatch.setattr(run_queue, 'train_command', lambda files, folder: python(sleep))
    monkeypatch.setattr(run_queue, 'made_with', lambda threads: {})  # it asks git
    Path('out').mkdir()
    wait = subprocess.Popen.wait

    def interrupted(process, timeout=None):
        if process.poll() is None and not stopped:
            while not (Path('pid').exists() and Path('pid').read_text()):
                time.sleep(0.05)
            # the training inherits the lock
            files = Path(f'/proc/{process.pid}/fd').iterdir()
            assert str(Path('out/.lock').absolute()) in map(os.path.realpath, files)
            stopped.append(process)
            raise KeyboardInterrupt
        return wait(process, timeout)

    stopped: list = []
    run = make_run()
    with locked('out') as lock:
        monkeypatch.setattr(subprocess.Popen, 'wait', interrupted)
        with pytest.raises(KeyboardInterrupt):
            make(run, lock)
    with pytest.raises(ProcessLookupError):
        os.kill(int(Path('pid').read_text()), 0)
    assert not run.failed.exists()  # it goes on with the next start
