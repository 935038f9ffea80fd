"""Configs are found by name or by path, and read with a message of one line."""

import pytest

from condseg_mmseg.configs import at_size, config_dir, find_config, read_config
from condseg_mmseg.utils.errors import UserError

NAME = 'condseg_r50_1xb12-300e_kvasir-seg-256x256'


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


def test_every_resize_gets_another_size_and_nothing_else_changes():
    resize, load = dict(type='ResizeWithMask', scale=(256, 256)), dict(type='LoadBinaryMask')
    other = dict(type='Resize', scale=(256, 256))
    part = dict(pipeline=[load, resize, dict(type='TestTimeAug', transforms=[[resize], [other]])])
    small = dict(resize, scale=(64, 48))
    assert at_size(part, (64, 48)) == dict(
        pipeline=[load, small, dict(type='TestTimeAug', transforms=[[small], [other]])]
    )
    assert resize['scale'] == (256, 256)
