"""Two small files of scores, and ``condseg compare`` on them."""

import csv
import json
from pathlib import Path

import pytest

from condseg_mmseg.cli import main


def write(path: Path, rows: dict[str, tuple], columns: tuple = ('dice', 'mae')) -> Path:
    """Write a file of scores, name -> its scores."""
    with path.open('w', newline='') as file:
        writer = csv.writer(file)
        writer.writerow(['img_path', *columns])
        writer.writerows([name, *values] for name, values in rows.items())
    return path


A = dict(a=(50, 10), b=(60, 10), c=(70, 10), d=('', 10), e=(90, 10))
B = dict(a=(54, 9), b=(58, 10), c=(70, 12), d=(80, 11), e=(91, ''))


def run(capsys: pytest.CaptureFixture, a: Path, b: Path, *options: object) -> tuple[dict, str]:
    """Compare two files; the report and what was printed."""
    out = a.parent / 'out' / 'report.json'
    assert main(['compare', str(a), str(b), '--json', str(out), '--force', *map(str, options)]) == 0
    return json.loads(out.read_text()), capsys.readouterr().out


def refuse(capsys: pytest.CaptureFixture, a: Path, b: Path, *options: object) -> str:
    """Compare two files, which must be refused; the message."""
    out = a.parent / 'refused.json'
    try:
        code = main(['compare', str(a), str(b), '--json', str(out), *map(str, options)])
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    assert not out.exists()
    return capsys.readouterr().err
