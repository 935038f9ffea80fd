"""The process of a training, its lock, and the record of both."""

import os
import signal
import subprocess
import sys
import time

import pytest
from helpers import ROOT

sys.path.insert(0, str(ROOT / 'tools'))

from _two_stages import UserError
from _two_stages.process import locked, run_logged
from _two_stages.record import Record

SLEEPER = """
import signal, sys, time
print('begun', flush=True)
try:
    time.sleep(60)
except KeyboardInterrupt:
    print('interrupted', flush=True)
    sys.exit(7)
"""
PARENT = f"""
import os, sys
sys.path.insert(0, {str(ROOT / 'tools')!r})
from pathlib import Path
from _two_stages.process import locked, run_logged
with locked(Path('.')) as lock:
    print(run_logged([sys.executable, '-c', {SLEEPER!r}], Path('log'), lock, os.environ))
"""


@pytest.fixture
def parent(tmp_path):
    process = subprocess.Popen(
        [sys.executable, '-c', PARENT], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    _wait(lambda: (tmp_path / 'log').is_file() and 'begun' in (tmp_path / 'log').read_text())
    yield process
    process.kill()
    process.wait()


def _wait(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, 'waited in vain'
        time.sleep(0.02)


def test_output_goes_to_the_log_and_the_status_comes_back(tmp_path, capsys):
    handler = signal.getsignal(signal.SIGINT)  # ignored where a shell started us in the background
    (tmp_path / 'log').write_text('before\n')
    command = [sys.executable, '-c', 'import sys; print("a"); sys.exit("b")']
    with locked(tmp_path) as lock:
        assert run_logged(command, tmp_path / 'log', lock, dict(os.environ)) == (1, 0)
    assert sorted((tmp_path / 'log').read_text().split()) == ['a', 'b', 'before']
    assert sorted(capsys.readouterr().out.split()) == ['a', 'b']
    assert signal.getsignal(signal.SIGINT) is handler


@pytest.mark.parametrize(
    ('number', 'status'), [(signal.SIGINT, 7), (signal.SIGTERM, -signal.SIGTERM)]
)
def test_signals_are_passed_to_the_training(parent, tmp_path, number, status):
    parent.send_signal(number)
    out, _ = parent.communicate(timeout=30)
    assert out.splitlines()[-1] == f'({status}, {int(number)})'
    assert ('interrupted' in (tmp_path / 'log').read_text()) == (number == signal.SIGINT)


def test_the_training_ends_with_a_parent_that_is_killed(parent, tmp_path):
    pid = int((tmp_path / '.lock').read_text())
    os.kill(pid, 0)
    with pytest.raises(UserError, match=rf'still going on there \(process group {pid}\)'):
        with locked(tmp_path, patience=0.1):
            pass
    parent.kill()
    parent.wait()
    with locked(tmp_path, patience=10):
        pass


def test_the_record_is_whole_at_any_time(tmp_path, monkeypatch):
    record = Record.new(tmp_path, hand_over='best')
    record.save()
    record['hand_over'] = {1, 2}  # fails in the middle of writing
    with pytest.raises(TypeError):
        record.save()
    assert Record.read(tmp_path)['hand_over'] == 'best'
    assert Record.read(tmp_path / 'absent') is None
    for text, message in (('{', 'not JSON'), ('{}', 'not a record')):
        record.path.write_text(text)
        with pytest.raises(UserError, match=message):
            Record.read(tmp_path)
