"""Importing the package, in a process of its own: what is printed, and what stops it."""

import os
import subprocess
import sys

import pytest
from helpers import FORKS, INSTALL, ROOT, UNINSTALL

from condseg_mmseg.stack import OLDEST


def test_an_import_prints_nothing(root, tmp_path):
    """Neither the notes of the forks nor others."""
    done = subprocess.run(
        [sys.executable, '-c', 'import condseg_mmseg'],
        cwd=tmp_path, env=dict(os.environ, PYTHONPATH=str(root)), capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout + done.stderr) == (0, '')


def _import_with_stand_ins(tmp_path, root, versions):
    """Imports the package in a Python that sees stand-ins for the stack only."""
    for name, version in versions.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / '__init__.py').write_text(f'__version__ = {version!r}\n')
    code = (
        # -S: no site-packages; the check must need nothing from there
        f'import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(root)!r}]; import condseg_mmseg'
    )
    return subprocess.run(
        [sys.executable, '-E', '-S', '-c', code], capture_output=True, text=True, check=False
    )


def test_import_without_a_stack(tmp_path, root):
    result = _import_with_stand_ins(tmp_path, root, {})
    assert result.returncode == 1
    assert 'ImportError: condseg_mmseg needs MMSegmentation' in result.stderr
    assert result.stderr.count('is missing') == 3
    assert result.stderr.rstrip().endswith(INSTALL)


def test_import_with_an_old_stack(tmp_path, root):
    result = _import_with_stand_ins(
        tmp_path, root, dict(mmengine='0.10.7', mmcv='2.1.0', mmseg='1.1.0')
    )
    assert result.returncode == 1
    assert 'mmseg is 1.1.0, older than 1.2.2' in result.stderr
    assert 'missing' not in result.stderr
    assert result.stderr.rstrip().endswith(INSTALL)


def test_import_where_mmseg_lacks_a_part(tmp_path, root):
    """The stand-ins pass the check, and have nothing inside."""
    result = _import_with_stand_ins(tmp_path, root, OLDEST)
    assert result.returncode == 1
    last = result.stderr.rpartition('ImportError: condseg_mmseg needs MMSegmentation')[2]
    assert '- it does not import in full: ModuleNotFoundError: No module named' in last
    assert last.rstrip().endswith(f'{UNINSTALL} && {INSTALL}')
    assert 'direct cause' in result.stderr


def test_import_without_libgl(tmp_path, root):
    for name in ('mmengine', 'mmcv', 'mmseg'):
        (tmp_path / name).mkdir()
        text = f'__version__ = {FORKS[name]!r}\n'
        if name != 'mmengine':
            text = "raise ImportError('libGL.so.1: cannot open shared object file')\n"
        (tmp_path / name / '__init__.py').write_text(text)
    result = _import_with_stand_ins(tmp_path, root, {})
    assert result.returncode == 1
    assert 'mmcv does not import: ImportError: libGL.so.1' in result.stderr
    assert result.stderr.rstrip().endswith('apt-get install libgl1 libglib2.0-0')


def test_import_without_a_module_of_ours(tmp_path, root):
    """The error stays as it is: no installation of the stack would mend it."""
    (tmp_path / 'condseg_mmseg').mkdir()
    for name in ('__init__.py', 'stack.py', 'version.py'):
        text = (root / 'condseg_mmseg' / name).read_text()
        (tmp_path / 'condseg_mmseg' / name).write_text(text)
    (tmp_path / 'condseg_mmseg' / 'datasets.py').write_text('from . import lost\n')
    result = _import_with_stand_ins(tmp_path, root, FORKS)
    assert result.returncode == 1
    assert "ImportError: cannot import name 'lost' from" in result.stderr
    assert 'pip' not in result.stderr


@pytest.mark.parametrize('how', ['condseg', '-m', 'import'])
def test_a_command_without_mmseg_says_what_is_missing_and_what_fixes_it(tmp_path, how):
    (tmp_path / 'sitecustomize.py').write_text("import sys; sys.modules['mmseg'] = None\n")
    script = tmp_path / 'condseg'
    script.write_text('import sys; from condseg_mmseg.cli import main; sys.exit(main())\n')
    start = dict(condseg=[str(script)], import_=['-c', 'import condseg_mmseg'])
    start |= {'-m': ['-m', 'condseg_mmseg'], 'import': start.pop('import_')}
    done = subprocess.run(
        [sys.executable, *start[how], 'check', '--environment'], capture_output=True, text=True,
        env=dict(os.environ, PYTHONPATH=f'{tmp_path}{os.pathsep}{ROOT}'),
    )  # fmt: skip
    assert done.returncode == 1
    assert '  - mmseg is missing (needs >= ' in done.stderr
    assert 'onedl-mmsegmentation>=1.4.2"' in done.stderr.splitlines()[-1]
    assert ('Traceback' in done.stderr) == (how == 'import')  # a program sees the exception
