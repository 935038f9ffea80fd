"""The command itself: version, wrong use, exit status."""

import runpy
import sys

import pytest

from condseg_mmseg import __version__
from condseg_mmseg.cli import configs, main
from condseg_mmseg.utils.errors import UserError


def test_version_and_help(capsys):
    with pytest.raises(SystemExit, match=r'^0$'):
        main(['--version'])
    assert capsys.readouterr().out == f'condseg-mmseg {__version__}\n'
    with pytest.raises(SystemExit, match=r'^0$'):
        main(['--help'])
    assert 'configs' in capsys.readouterr().out


@pytest.mark.parametrize('argv', [[], ['nonsense'], ['configs', '--nonsense']])
def test_wrong_use_is_status_2(argv):
    with pytest.raises(SystemExit, match=r'^2$'):
        main(argv)


def test_a_user_error_is_one_line_and_a_defect_is_a_traceback(monkeypatch, capsys):
    def fail(error):
        def run(args):
            raise error

        monkeypatch.setattr(configs, 'run', run)
        return main(['configs'])

    assert fail(UserError('--x is wrong')) == 2
    assert capsys.readouterr() == ('', 'error: --x is wrong\n')
    assert fail(KeyboardInterrupt()) == 130
    with pytest.raises(ValueError, match='a defect'):
        fail(ValueError('a defect'))


def test_the_package_is_the_command(monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['condseg_mmseg', '--version'])
    with pytest.raises(SystemExit, match=r'^0$'):
        runpy.run_module('condseg_mmseg', run_name='__main__', alter_sys=True)
    assert capsys.readouterr().out == f'condseg-mmseg {__version__}\n'
