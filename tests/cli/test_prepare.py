"""``condseg prepare`` through its path in ``tools``."""

import pytest
from helpers import ROOT, run_tool
from preparation.samples import files, make_zip

from condseg_mmseg.cli import main


def test_its_path_in_tools_runs_from_anywhere(tmp_path, monkeypatch, capsys):
    make_zip(tmp_path / 'mine.zip', files())
    script = ROOT / 'tools' / 'dataset_converters' / 'prepare.py'
    monkeypatch.chdir(tmp_path)
    assert run_tool(monkeypatch, script, 'custom', 'mine.zip', 'made/out') == 0
    done = capsys.readouterr()
    assert '20 files written' in done.out
    assert 'check' in done.err  # the bar does not mix with the result


def test_an_unknown_data_set_is_wrong_use(capsys):
    with pytest.raises(SystemExit, match=r'^2$'):
        main(['prepare', 'kvasir'])
    assert 'kvasir_seg' in capsys.readouterr().err
