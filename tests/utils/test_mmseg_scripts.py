"""mmseg's own scripts are found and run, unchanged."""

import argparse
import sys
from pathlib import Path

import mmseg
import pytest
from mmengine.config import DictAction

from condseg_mmseg.utils.errors import UserError
from condseg_mmseg.utils.mmseg_scripts import FUSE_OPTION, find_script, run_script, translate_fuse


@pytest.mark.parametrize(
    'name',
    [
        'train.py',
        'test.py',
        'analysis_tools/get_flops.py',
        'analysis_tools/browse_dataset.py',
        'analysis_tools/analyze_logs.py',
        'misc/print_config.py',
    ],
)
def test_scripts_are_found_in_the_installed_mmseg(name):
    path = find_script(name)
    assert path.is_file()
    assert Path(mmseg.__file__).resolve().parent.parent in path.parents


def test_wheel_before_checkout(tmp_path):
    package = tmp_path / 'mmseg'
    (package / '.mim' / 'tools').mkdir(parents=True)
    (tmp_path / 'tools').mkdir()
    (tmp_path / 'tools' / 'train.py').touch()
    with pytest.raises(UserError, match=r'has no tools/train\.py'):  # not mmseg's checkout
        find_script('train.py', package)
    (tmp_path / 'configs' / '_base_').mkdir(parents=True)
    assert find_script('train.py', package) == tmp_path / 'tools' / 'train.py'
    (package / '.mim' / 'tools' / 'train.py').touch()
    assert find_script('train.py', package) == package / '.mim' / 'tools' / 'train.py'


def test_a_script_gets_its_arguments(tmp_path, monkeypatch, capsys):
    path = tmp_path / 'config.py'
    path.write_text('answer = 6 * 7\n')
    script = 'misc/print_config.py'
    monkeypatch.chdir(tmp_path)  # it writes an example.py there
    for before, arguments in (['script', str(path)], None), (['script', 'x'], [str(path)]):
        monkeypatch.setattr(sys, 'argv', before)
        run_script(script, arguments)
        assert 'answer = 42' in capsys.readouterr().out
        assert sys.argv == [str(find_script(script)), str(path)]


@pytest.mark.parametrize(
    ('given', 'passed'),
    [
        (['c.py', 'a.pth', '--tta'], ['c.py', 'a.pth', '--tta']),
        (
            ['--fuse-conv-bn', 'c.py', 'a.pth'],
            ['c.py', 'a.pth', '--cfg-options', FUSE_OPTION],
        ),
        (
            ['c.py', '--cfg-options', 'a=1', 'b=2', '--fuse-conv-bn', '--tta', 'a.pth'],
            ['c.py', '--cfg-options', 'a=1', 'b=2', '--tta', 'a.pth', '--cfg-options', FUSE_OPTION],
        ),
    ],
)
def test_fuse_conv_bn_becomes_an_option(given, passed):
    before = list(given)
    assert translate_fuse(given) == passed
    assert given == before
    # mmengine adds up options that are given in two places
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    options = parser.parse_known_args(passed)[0].cfg_options or {}
    assert ('default_hooks.fuse.type' in options) == ('--fuse-conv-bn' in given)
    assert (options.get('a'), options.get('b')) == ((1, 2) if 'a=1' in given else (None, None))
