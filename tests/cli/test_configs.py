"""``condseg configs``: names, paths, a printed config, copies that work."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.config import Config

from condseg_mmseg.cli import main
from condseg_mmseg.configs import config_dir, find_config, list_configs

NAME = 'condseg_r18_1xb8-4e_demo-96x96'


def test_names_paths_and_folder(capsys):
    shipped = list_configs(config_dir())
    for options, lines in (
        ([], [path.stem for path in shipped]),
        (['--paths'], list(map(str, shipped))),
        (['--paths', NAME], [str(find_config(NAME))]),
        (['--dir'], [str(config_dir())]),
    ):
        assert main(['configs', *options]) == 0
        assert capsys.readouterr().out.splitlines() == lines


def test_a_list_that_is_cut_off_is_no_error(root):
    """``condseg configs | head`` closes the pipe."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, '-m', 'condseg_mmseg', 'configs'],
        cwd=root, stdout=write, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    os.close(write)
    assert (done.returncode, done.stderr) == (0, '')


def test_a_config_is_printed_with_its_bases_and_options(capsys):
    assert main(['configs', NAME, '--cfg-options', 'model.neck.num_heads=7']) == 0
    printed = Config.fromstring(capsys.readouterr().out, '.py')
    expected = Config.fromfile(find_config(NAME))
    assert printed.model.neck.num_heads == 7
    printed.model.neck.num_heads = expected.model.neck.num_heads
    assert printed.to_dict() == expected.to_dict()


def test_all_configs_are_copied_and_nothing_is_replaced(tmp_path, capsys):
    assert main(['configs', '--copy', str(tmp_path)]) == 0
    copied = {path.relative_to(tmp_path) for path in tmp_path.rglob('*') if path.is_file()}
    shipped = {p.relative_to(config_dir()) for p in config_dir().rglob('*') if p.is_file()}
    assert copied == {path for path in shipped if path.suffix != '.pyc'}
    changed = tmp_path / 'condseg' / f'{NAME}.py'
    changed.write_text('mine = 1\n')
    assert main(['configs', '--copy', str(tmp_path), NAME]) == 2
    assert 'is there already: add --force to replace it' in capsys.readouterr().err
    assert changed.read_text() == 'mine = 1\n'
    assert main(['configs', '--copy', str(tmp_path), NAME, '--force']) == 0
    assert changed.read_text() == find_config(NAME).read_text()


def test_one_config_is_copied_with_its_bases(tmp_path, capsys):
    stage = 'condseg_r50_official_1xb12-300e_kvasir-seg-256x256'
    assert main(['configs', '--copy', str(tmp_path), stage]) == 0
    copies = [path for path in tmp_path.rglob('*.py') if '_base_' not in path.parts]
    assert stage in [path.stem for path in copies]
    assert capsys.readouterr().out == f'{tmp_path}: {len(list(tmp_path.rglob("*.py")))} files\n'
    for path in copies:
        assert Config.fromfile(path).to_dict() == Config.fromfile(find_config(path.stem)).to_dict()


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['none'], 'none is neither a file nor a shipped config'),
        ([NAME, NAME], 'one config can be printed'),
        (['--dir', NAME], f'--dir takes no NAME, got {NAME}'),
        (['--force'], '--force needs --copy DIR'),
        (['--cfg-options', 'a=1'], '--cfg-options changes the config that is printed'),
        (['--copy', 'out', 'own.py'], 'own.py is no shipped config'),
        (['--copy', str(config_dir()), '--force'], 'would overwrite the input'),
    ],
)
def test_wrong_use_is_one_line(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    Path('own.py').touch()
    assert main(['configs', *arguments]) == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ['own.py']
