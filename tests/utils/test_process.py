"""A command that ends with us: its output, its signals, the lock that it inherits."""

import os
import signal
import subprocess
import sys
import time

import pytest

import condseg_mmseg
from condseg_mmseg.utils.errors import UserError
from condseg_mmseg.utils.lock import locked
from condseg_mmseg.utils.process import ProcessError, run_logged, tail

SLEEPER = """
import signal, sys, time
print('begun', flush=True)
try:
    time.sleep(60)
except KeyboardInterrupt:
    print('interrupted', flush=True)
    sys.exit(7)
"""
# the package itself imports mmseg, which takes seconds
PARENT = f"""
import sys, types
from pathlib import Path
package = sys.modules['condseg_mmseg'] = types.ModuleType('condseg_mmseg')
package.__path__ = {list(condseg_mmseg.__path__)}
from condseg_mmseg.utils.lock import locked
from condseg_mmseg.utils.process import run_logged
with locked('.') as lock:
    print(run_logged([sys.executable, '-c', {SLEEPER!r}], Path('log'), lock=lock))
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


def test_output_goes_to_the_log_and_the_status_comes_back(tmp_path):
    handler = signal.getsignal(signal.SIGINT)  # ignored where a shell started us in the background
    log, shown = tmp_path / 'log', []
    log.write_text('before\n')
    command = [sys.executable, '-c', 'import sys; print("a"); print(" b"); sys.exit("c")']
    assert run_logged(command, log, shown.append) == (1, 0)
    assert log.read_text() == 'before\na\n b\nc\n'
    assert shown == ['a', ' b', 'c']
    assert signal.getsignal(signal.SIGINT) is handler
    assert tail(log, 2) == ' b\nc\n'
    assert run_logged([sys.executable, '-c', 'print()']) == (0, 0)


def test_a_command_whose_output_nobody_takes_is_ended(tmp_path):
    def fail(line):
        raise BrokenPipeError(line)

    code = 'import os, time; print(os.getpid(), flush=True); time.sleep(60)'
    with pytest.raises(BrokenPipeError) as error:
        run_logged([sys.executable, '-c', code], show=fail)
    with pytest.raises(ProcessLookupError):
        os.kill(int(str(error.value)), 0)


@pytest.mark.parametrize(
    ('status', 'stopped', 'ours'), [(3, 0, 3), (-9, 0, 137), (1, 15, 143), (-2, 2, 130)]
)
def test_the_status_of_a_failure_is_that_of_a_shell(status, stopped, ours):
    assert ProcessError('it failed', status, stopped).status == ours


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
