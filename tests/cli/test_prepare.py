"""``condseg prepare`` as a process, and through its path in ``tools``."""

import subprocess
import sys

import pytest
from helpers import ROOT
from preparation.samples import files, make_zip

SCRIPT = ROOT / 'tools' / 'dataset_converters' / 'prepare.py'


@pytest.mark.slow
@pytest.mark.parametrize('command', [['-m', 'condseg_mmseg', 'prepare'], [str(SCRIPT)]])
def test_it_runs_from_anywhere(tmp_path, command):
    make_zip(tmp_path / 'mine.zip', files())
    run = dict(cwd=tmp_path, capture_output=True, text=True)
    done = subprocess.run([sys.executable, *command, 'custom', 'mine.zip', 'made/out'], **run)
    assert done.returncode == 0, done.stderr
    assert '20 files written' in done.stdout
    assert 'check' in done.stderr  # the bar does not mix with the result
    wrong = subprocess.run([sys.executable, *command, 'kvasir'], **run)
    assert wrong.returncode == 2
    assert 'kvasir_seg' in wrong.stderr
