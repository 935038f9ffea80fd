"""A folder is locked for one run."""

import subprocess
import sys

import pytest

from condseg_mmseg.utils.errors import UserError
from condseg_mmseg.utils.lock import locked


def test_a_second_run_is_refused_until_the_first_ends(tmp_path):
    with locked(tmp_path) as file:
        file.write('123\n')
        file.flush()
        with pytest.raises(UserError, match=r'still going on there \(process group 123\)'):
            locked(tmp_path, patience=0).__enter__()
    with locked(tmp_path, patience=0):
        pass


def test_a_process_that_inherits_the_file_holds_the_lock(tmp_path):
    wait = [sys.executable, '-c', 'input()']
    with locked(tmp_path) as file:
        child = subprocess.Popen(wait, stdin=subprocess.PIPE, pass_fds=[file.fileno()])
    with pytest.raises(UserError, match='still going on'):
        locked(tmp_path, patience=0).__enter__()
    child.communicate(b'\n')
    with locked(tmp_path, patience=0):
        pass
