"""What commands are given: inputs are no outputs, outputs and devices are looked at first."""

import os
import re

import pytest

from condseg_mmseg.utils.arguments import (
    check_device,
    check_folder,
    check_output,
    check_outputs,
    check_picture,
    refuse_inputs,
)
from condseg_mmseg.utils.errors import UserError


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


def test_an_output_must_be_writable_and_new(tmp_path):
    here = tmp_path / 'scores.csv'
    here.write_text('old')
    check_output('--csv', None)
    check_output('--csv', tmp_path / 'no' / 'folder' / 'yet.csv')
    check_output('--csv', here, force=True)
    for output, inputs, words in (
        (here, [], f'--csv {here} is there already: add --force to replace it'),
        (here, [here], f'--csv {here} would overwrite the input {here}'),
        (tmp_path, [], f'--csv {tmp_path} is a folder: give a file'),
        (here / 'x.csv', [], f'--csv {here}/x.csv cannot be written: {here} is no writable folder'),
    ):
        with pytest.raises(UserError, match=f'^{re.escape(words)}$'):
            check_output('--csv', output, inputs)
    with pytest.raises(UserError, match='would overwrite'):
        check_output('--csv', here, [here], force=True)


def test_a_folder_must_be_writable(tmp_path):
    here = tmp_path / 'file'
    here.write_text('')
    for folder in (tmp_path, tmp_path / 'no' / 'folder' / 'yet'):
        check_folder('OUT', folder)
    for folder in (here, here / 'below'):
        words = f'OUT {folder} cannot be written: {here} is no writable folder'
        with pytest.raises(UserError, match=f'^{re.escape(words)}$'):
            check_folder('OUT', folder)


@pytest.mark.parametrize('device', ['gpu', 'cuda:99'])
def test_a_device_that_is_not_there_is_named_in_one_line(device):
    check_device('cpu')
    with pytest.raises(ValueError, match=f'--device {device} cannot be used: ') as error:
        check_device(device)
    assert '\n' not in str(error.value)


def test_two_outputs_are_two_files(tmp_path):
    (tmp_path / 'link').symlink_to(tmp_path)
    outputs = {'--csv': tmp_path / 'a', '--json': tmp_path / 'link' / 'a', '--sheet': None}
    with pytest.raises(UserError, match=r'--csv and --json name the same file, .*link/a'):
        check_outputs(outputs)
    check_outputs(outputs | {'--json': tmp_path / 'b'})
    (tmp_path / 'b').touch()
    with pytest.raises(UserError, match=r'--json .*b would overwrite the input'):
        check_outputs(outputs | {'--json': tmp_path / 'b'}, [tmp_path / 'b'], force=True)


def test_a_picture_needs_the_ending_of_one():
    check_picture('--sheet', 'a.png')
    with pytest.raises(UserError, match=r'--sheet a\.csv: end it in \.png or another kind of'):
        check_picture('--sheet', 'a.csv')
