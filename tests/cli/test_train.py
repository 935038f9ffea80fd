"""``condseg train``: one config or two, and the options that belong to each."""

import os
import sys

import pytest

from condseg_mmseg.apis import train as one
from condseg_mmseg.apis import train_two_stages as two
from condseg_mmseg.cli import main
from condseg_mmseg.utils.process import ProcessError


@pytest.fixture
def calls(monkeypatch):
    """Replaces both trainings; keeps what they were asked for."""
    calls = []

    def keep(*args, **kwargs):
        kwargs.pop('show')
        calls.append((args, kwargs))

    monkeypatch.setattr(one, 'train', keep)
    monkeypatch.setattr(two, 'train_two_stages', keep)
    return calls


def test_one_config(calls):
    assert main(['train', 'a.py']) == 0
    options = '--work-dir w --resume --amp --launcher slurm --gpus 2 --cfg-options a=1 b=2'
    assert main(['train', 'a.py', *options.split()]) == 0
    assert calls[0] == (
        ('a.py',),
        dict(work_dir=None, resume=False, gpus=None, amp=False, launcher='none', cfg_options=[]),
    )
    assert calls[1] == (
        ('a.py',),
        dict(
            work_dir='w', resume=True, gpus=2, amp=True, launcher='slurm',
            cfg_options=['a=1', 'b=2'],
        ),
    )  # fmt: skip


def test_two_configs(calls):
    assert main(['train', 'a.py', 'b.py']) == 0
    options = '--hand-over last --stage1-options b=2 --stage2-options c=3 d=4 --cfg-options a=1'
    assert main(['train', 'a.py', 'b.py', *options.split(), '--stage2-options', 'e=5']) == 0
    common = dict(work_dir=None, resume=False, gpus=None)
    assert calls[0] == (
        ('a.py', 'b.py'),
        dict(**common, hand_over='best', stage1_options=[], stage2_options=[]),
    )
    assert calls[1][1] == dict(
        **common, hand_over='last', stage1_options=['a=1', 'b=2'],
        stage2_options=['a=1', 'c=3', 'd=4', 'e=5'],
    )  # fmt: skip


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ('a b c', 'train takes one config or two, got 3'),
        ('a --hand-over best', '--hand-over: only with two configs'),
        ('a --stage2-options a=1', '--stage2-options: only with two configs'),
        ('a b --amp --launcher mpi', '--amp, --launcher: only with one config'),
    ],
)
def test_options_of_the_other_training_are_refused(calls, capsys, arguments, message):
    assert main(['train', *arguments.split()]) == 2
    assert capsys.readouterr().err == f'error: {message}\n'
    assert calls == []


def test_a_training_that_fails_ends_with_its_status(monkeypatch, capsys):
    def fail(*args, **more):
        raise ProcessError('stage 1 stopped by signal 15', 0, 15)

    monkeypatch.setattr(two, 'train_two_stages', fail)
    assert main(['train', 'a', 'b']) == 143
    assert capsys.readouterr().err == 'error: stage 1 stopped by signal 15\n'


def test_a_training_whose_output_is_closed_is_no_success(monkeypatch, tmp_path):
    """``condseg train a b | head`` ends it."""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, 'w') as closed:
        monkeypatch.setattr(sys, 'stdout', closed)
        monkeypatch.setattr(two, 'train_two_stages', lambda *args, show, **more: show('line'))
        assert main(['train', 'a', 'b']) == 141


def test_a_config_without_imports_is_one_line(tmp_path, capsys):
    path = tmp_path / 'plain.py'
    path.write_text("model = dict(type='EncoderDecoder')\n")
    assert main(['train', str(path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f'error: {path} imports no modules')
    assert error.count('\n') == 1
