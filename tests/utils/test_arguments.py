"""What commands are given: inputs are no outputs, configs and devices are looked at first."""

import os

import pytest

from condseg_mmseg.utils.arguments import check_device, read_config, refuse_inputs


def test_an_input_under_any_name_is_refused(tmp_path):
    a, b = tmp_path / 'a.csv', tmp_path / 'b.csv'
    for path in (a, b):
        path.write_text(path.name)
    (tmp_path / 'soft').symlink_to(a)
    os.link(a, tmp_path / 'hard')
    (tmp_path / 'folder').symlink_to(tmp_path)
    for name in ('a.csv', 'soft', 'hard', 'folder/a.csv'):
        output = tmp_path / name
        with pytest.raises(ValueError, match='would overwrite') as error:
            refuse_inputs('--json', str(output), [b, None, a])
        assert str(error.value) == f'--json {output} would overwrite the input {a}'
    (tmp_path / 'other').write_text('a.csv')  # the same content is another file
    for output in (None, tmp_path / 'other', tmp_path / 'new', tmp_path / 'no' / 'folder'):
        refuse_inputs('--json', output, [a, b, tmp_path / 'missing'])


def test_a_config_is_read_with_its_options(tmp_path):
    path = tmp_path / 'c.py'
    path.write_text('model = dict(type="A", depth=50)\n')
    assert read_config(path).model == dict(type='A', depth=50)
    assert read_config(path, {'model.depth': 18}).model == dict(type='A', depth=18)


@pytest.mark.parametrize(
    ('text', 'reason'),
    [(None, 'FileNotFoundError'), ('x = (', 'SyntaxError'), ('x = 1 / 0', 'ZeroDivisionError')],
)
def test_a_config_that_cannot_be_read_is_named_in_one_line(tmp_path, text, reason):
    path = tmp_path / 'c.py'
    if text:
        path.write_text(text)
    with pytest.raises(ValueError, match=rf'c\.py cannot be read as a config: .*{reason}') as error:
        read_config(path)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('device', ['gpu', 'cuda:99'])
def test_a_device_that_is_not_there_is_named_in_one_line(device):
    check_device('cpu')
    with pytest.raises(ValueError, match=f'--device {device} cannot be used: ') as error:
        check_device(device)
    assert '\n' not in str(error.value)
