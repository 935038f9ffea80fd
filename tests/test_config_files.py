"""Configs are named by a pattern, found by name or by path, and read with a message of one line."""

import re

import pytest

from condseg_mmseg.configs import at_size, config_dir, find_config, list_configs, read_config
from condseg_mmseg.utils.errors import UserError

PATTERN = re.compile(
    r'[a-z0-9-]+?(-stage1)?'  # method
    r'(_[a-z0-9]+)+'  # encoder, preset
    r'_\d+xb\d+-\d+(e|k)'  # GPUs x batch, schedule
    r'_[a-z0-9-]+-\d+x\d+'  # data set, size
)
NAME = 'condseg_r50_1xb12-300e_kvasir-seg-256x256'


def test_configs_are_those_of_the_checkout(root):
    assert config_dir(root / 'condseg_mmseg') == root / 'configs'


def test_configs_of_a_wheel_come_first(tmp_path):
    package = tmp_path / 'condseg_mmseg'
    for place in (tmp_path / 'configs', package / '.mim' / 'configs'):
        (place / '_base_').mkdir(parents=True)
        (place / '_base_' / 'default_runtime.py').touch()
        assert config_dir(package) == place


def test_a_foreign_configs_folder_is_not_taken(tmp_path):
    (tmp_path / 'configs' / '_base_').mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match='no configs in'):
        config_dir(tmp_path / 'condseg_mmseg')


def test_list_leaves_out_the_bases(root):
    listed = list_configs(root / 'configs')
    assert listed
    assert not [path for path in listed if '_base_' in str(path.relative_to(root))]


def test_a_config_is_found_by_name_and_by_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shipped = config_dir() / 'condseg' / f'{NAME}.py'
    assert find_config(NAME) == find_config(f'{NAME}.py') == find_config(shipped) == shipped
    own = tmp_path / f'{NAME}.py'
    own.touch()
    assert find_config(f'{NAME}.py').samefile(own)  # a file comes first
    assert find_config(NAME) == shipped


@pytest.mark.parametrize('name', [NAME.replace('r50', 'r51'), f'folder/{NAME}.py'])
def test_a_config_that_is_not_there_is_named_with_those_nearly_called_so(name):
    with pytest.raises(UserError, match='neither a file nor a shipped config') as error:
        find_config(name)
    assert str(error.value).startswith(name)
    assert NAME in str(error.value).partition('did you mean')[2]
    assert '\n' not in str(error.value)


def test_a_config_is_read_with_its_options(tmp_path):
    path = tmp_path / 'c.py'
    path.write_text('model = dict(type="A", depth=50)\n')
    assert read_config(path).model == dict(type='A', depth=50)
    assert read_config(path, {'model.depth': 18}).model == dict(type='A', depth=18)
    with pytest.raises(UserError, match=r'c\.py cannot be read as a config'):
        read_config(path, {'model.type.x': 18})  # the type is a text


@pytest.mark.parametrize(
    ('text', 'reason'),
    [('x = (', 'SyntaxError'), ('x = 1 / 0', 'ZeroDivisionError')],
)
def test_a_config_that_cannot_be_read_is_named_in_one_line(tmp_path, text, reason):
    path = tmp_path / 'c.py'
    path.write_text(text)
    with pytest.raises(UserError, match=rf'c\.py cannot be read as a config: .*{reason}') as error:
        read_config(path)
    assert '\n' not in str(error.value)


def test_config_names(root):
    names = [path.stem for path in list_configs(root / 'configs')]
    assert NAME in names
    assert [name for name in names if not PATTERN.fullmatch(name)] == []


@pytest.mark.parametrize(
    ('name', 'good'),
    [
        (NAME, True),
        (NAME.replace('r50', 'r50_official'), True),
        ('condseg-stage1_r50_1xb8-300e_kvasir-seg-256x256', True),
        ('condseg_lite0_1xb8-12e_kvasir-seg-160x160', True),
        ('condseg_pvt_v2_b2_1xb12-300e_isic2018-256x256', True),
        ('condseg_1xb12-300e_kvasir-seg-256x256', False),  # no encoder
        ('condseg_r50_b12-300e_kvasir-seg-256x256', False),  # no GPUs
        ('condseg_r50_1xb12_kvasir-seg-256x256', False),  # no schedule
        ('condseg_r50_1xb12-300e_256x256', False),  # no data set
        ('condseg_r50_1xb12-300e_kvasir-seg', False),  # no size
        ('ConDSeg_r50_1xb12-300e_kvasir-seg-256x256', False),
    ],
)
def test_the_pattern_of_names(name, good):
    assert bool(PATTERN.fullmatch(name)) == good


def test_every_resize_gets_another_size_and_nothing_else_changes():
    resize, load = dict(type='ResizeWithMask', scale=(256, 256)), dict(type='LoadBinaryMask')
    other = dict(type='Resize', scale=(256, 256))
    part = dict(
        img_size=(256, 256),
        pipeline=[load, resize, dict(type='TestTimeAug', transforms=[[resize], [other]])],
    )
    small = dict(resize, scale=(64, 48))
    assert at_size(part, (64, 48)) == dict(
        img_size=(64, 48),
        pipeline=[load, small, dict(type='TestTimeAug', transforms=[[small], [other]])],
    )
    assert resize['scale'] == (256, 256)


@pytest.mark.parametrize(
    'base', sorted((config_dir() / '_base_' / 'datasets').glob('*.py')), ids=lambda path: path.stem
)
def test_every_base_of_a_data_set_resizes_to_its_size(base):
    config = read_config(base)
    assert config.resize.scale == config.img_size
    steps = {'train': config.train_pipeline, 'val': config.test_pipeline}
    for split, pipeline in steps.items():
        assert config[f'{split}_dataloader'].dataset.pipeline == pipeline
        scales = [step.scale for step in pipeline if 'scale' in step]
        assert scales == [config.img_size]
