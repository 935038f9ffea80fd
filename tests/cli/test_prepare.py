"""``condseg prepare`` through its path in ``tools``."""

import subprocess
import sys

import pytest
from helpers import ROOT
from preparation.samples import files, make_zip

from condseg_mmseg.cli import main


def test_its_path_in_tools_runs_from_anywhere(tmp_path):
    make_zip(tmp_path / 'mine.zip', files())
    script = ROOT / 'tools' / 'dataset_converters' / 'prepare.py'
    command = [sys.executable, script, 'custom', 'mine.zip', 'made/out']
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert '20 files written' in done.stdout
    assert 'check' in done.stderr  # the bar does not mix with the result


def test_an_unknown_data_set_is_wrong_use(capsys):
    with pytest.raises(SystemExit, match=r'^2$'):
        main(['prepare', 'kvasir'])
    assert 'kvasir_seg' in capsys.readouterr().err
