"""``condseg check``: its command line, its tables and its JSON file."""

import json
import os
import re
import subprocess
import sys

import cv2
import numpy as np
import pytest
from doctor.samples import clean
from helpers import ROOT

from condseg_mmseg.cli import main
from condseg_mmseg.doctor.kinds import KINDS


def check(*argv) -> int:
    """Run `condseg check` in this process."""
    return main(['check', *map(str, argv)])


@pytest.fixture
def folder(tmp_path):
    """A data set of one pair, with a name that no terminal can print."""
    noise = np.random.default_rng(0).integers(0, 256, (9, 12, 3)).astype(np.uint8)
    for name, picture in (('images', noise), ('masks', np.eye(9, 12, dtype=np.uint8) * 255)):
        (tmp_path / 'data' / name).mkdir(parents=True)
        data = cv2.imencode('.png', picture)[1].tobytes()
        (tmp_path / 'data' / name / 'p\udce9 \u00e9[b].png').write_bytes(data)
    return tmp_path / 'data'


@pytest.mark.parametrize(
    ('argv', 'message'),
    [
        ([], 'give a folder or a config to check'),
        (['nowhere'], 'nowhere is neither a file nor a shipped config'),
        (['.', '--environment'], '--environment checks the installation, not data: .'),
        (['--environment', '--json', 'o.json'], 'the installation, not data: o.json'),
        (['.', '--workers', '0'], '--workers must lie in 1..256, got 0'),
        (['.', '--near-correlation', 'nan'], '--near-correlation must lie in 0.1..2, got nan'),
        (['.', '--list', 'no.txt'], '--list: no such file: no.txt'),
        (['.', '.', '--list', 'names.txt'], '--list needs exactly one DATA'),
        (['c.py', '--list', 'names.txt'], 'which must be a folder'),
        (['.', '--list', 'names.txt', '--list', 'sub/names.txt'], "two lists are called 'names'"),
        (['.', '--list', 'names=sub/names.txt'], "--list: . has a list 'names'; give another NAME"),
        (['.', '--cfg-options', 'a=1'], '--cfg-options needs a config as DATA'),
        (['c.py', '--cfg-options', 'a'], "'a' is no option: write KEY=VALUE"),
        (['.', '--sheet', 'sheet.jpg'], '--sheet must end in .png, got sheet.jpg'),
        (['.', '--json', 'names.txt'], '--json must end in .json, got names.txt'),
        (['.', '--json', 'sub'], '--json must end in .json, got sub'),
    ],
)
def test_wrong_command_lines_exit_with_2(argv, message, tmp_path, monkeypatch, capsys):
    (tmp_path / 'sub').mkdir()
    for name in ('names.txt', 'sub/names.txt', 'c.py'):
        (tmp_path / name).write_text('')
    monkeypatch.chdir(tmp_path)
    assert check(*argv) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith('error: ')
    assert error.count('\n') == 1


def test_the_page_names_every_kind():
    page = (ROOT / 'docs' / 'data-doctor.md').read_text()
    rows = dict(re.findall(r'^\| `([a-z-]+)` \| (\w+) \|', page, re.MULTILINE))
    assert rows == {kind: severity for kind, (severity, _) in KINDS.items()}


def test_any_file_name_can_be_told(folder, tmp_path, capsys):
    (folder / 'masks' / 'lone\udce9[b].png').write_bytes(b'')
    out = tmp_path / 'o.json'
    assert check(folder, '--json', out, '--sheet', tmp_path / 's.png') == 1
    assert 'lone' in capsys.readouterr().out
    (finding,) = json.loads((tmp_path / 'o.json').read_text())['findings']
    assert finding == {
        'kind': 'lone-mask',
        'severity': 'warning',
        'splits': ['data'],
        'files': [str(folder / 'masks' / 'lone\udce9[b].png')],
        'detail': 'there is no image for it',
    }


def test_the_record_has_its_keys(folder, tmp_path):
    assert check(folder, '--json', tmp_path / 'o.json', '--workers', 1) == 0
    record = json.loads((tmp_path / 'o.json').read_text())
    assert list(record) == [
        'version', 'options', 'counts', 'exit_status', 'data_sets', 'overlaps', 'findings',
        'images',
    ]  # fmt: skip
    assert record['options']['data'] == [str(folder)]
    assert record['options']['near_correlation'] == 0.9
    (image,) = record['images']
    assert (image['width'], image['height'], image['objects'], image['object_areas']) == (
        12, 9, 1, [9]
    )  # fmt: skip
    assert image['splits'] == ['data/all']


def test_output_that_cannot_be_written_exits_with_2(folder, tmp_path, capsys):
    (tmp_path / 'file').write_text('')
    assert check(folder, '--json', tmp_path / 'file' / 'o.json') == 2
    assert 'cannot be written' in capsys.readouterr().err
    (tmp_path / 'o.json').write_text('old')
    assert check(folder, '--json', tmp_path / 'o.json') == 2
    assert 'add --force to replace it' in capsys.readouterr().err
    assert (tmp_path / 'o.json').read_text() == 'old'
    assert check(folder, '--json', tmp_path / 'o.json', '--force') == 0
    assert json.loads((tmp_path / 'o.json').read_text())['exit_status'] == 0


def _snapshot(root):
    return {path: path.read_bytes() for path in root.rglob('*') if path.is_file()}


@pytest.mark.parametrize(
    ('option', 'name', 'message'),
    [
        ('--sheet', 'data/images/a.png', 'data/images/a.png would overwrite the input'),
        ('--sheet', 'link.png', 'link.png would overwrite the input'),
        ('--sheet', 'data/masks/new.png', 'a folder of images or masks that is checked'),
        ('--json', 'data/masks/sub/new.json', 'a folder of images or masks that is checked'),
        ('--json', 'names.json', 'names.json would overwrite the input'),
        ('--sheet', 'far/a.png', 'far/a.png would overwrite the input'),
    ],
)
def test_no_output_goes_where_the_data_is(folder, tmp_path, capsys, option, name, message):
    picture = next((folder / 'images').iterdir())
    (tmp_path / 'far').mkdir()
    picture.rename(tmp_path / 'far' / 'a.png')  # the image of the data set is a link to it
    (folder / 'images' / 'a.png').symlink_to(tmp_path / 'far' / 'a.png')
    next((folder / 'masks').iterdir()).rename(folder / 'masks' / 'a.png')
    (tmp_path / 'link.png').symlink_to(folder / 'masks' / 'a.png')
    (tmp_path / 'names.json').write_text('a\n')
    before = _snapshot(tmp_path)
    argv = [folder, '--list', tmp_path / 'names.json', option, tmp_path / name]
    assert check(*argv, '--workers', 1, '--force') == 2
    assert message in capsys.readouterr().err
    assert _snapshot(tmp_path) == before


def test_no_output_goes_where_the_data_of_a_config_is(folder, tmp_path, capsys):
    config = tmp_path / 'config.py'
    data = dict(type='BinaryMedicalDataset', data_root=str(folder), pipeline=[])
    config.write_text(f'val_dataloader = dict(dataset={data!r})\n')
    before = _snapshot(tmp_path)
    new = folder / 'masks' / 'new.png'
    assert check(config, '--sheet', new, '--workers', 1) == 2
    assert 'a folder of images or masks that is checked' in capsys.readouterr().err
    assert _snapshot(tmp_path) == before


@pytest.mark.parametrize('columns', ['40', '300'])
def test_the_table_fits(folder, capsys, monkeypatch, columns):
    monkeypatch.setenv('COLUMNS', columns)
    check(folder)
    table = [line for line in capsys.readouterr().out.splitlines() if line[:1] in '+|' and line]
    assert len({len(line) for line in table}) == 1
    assert len(table[0]) <= max(60, int(columns))


def test_its_path_in_tools_runs_from_anywhere(tmp_path):
    folder = clean(tmp_path / 'data')
    folder.list('val', 'a', 'c')
    script = ROOT / 'tools' / 'dataset_converters' / 'check.py'
    done = subprocess.run(
        [sys.executable, script, 'data', '--json', 'new/out.json'],
        cwd=tmp_path, capture_output=True, text=True, env={**os.environ, 'LC_ALL': 'C'},
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert '1 error, 0 warnings, 2 notes; exit status 3' in done.stdout
    assert 'a.png: the same file' in done.stdout
    assert 'reading' in done.stderr
    assert 'reading' not in done.stdout
    assert sorted(path.name for path in (tmp_path / 'new').iterdir()) == ['out.json']
