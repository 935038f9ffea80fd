"""Groups of images from a table."""

from pathlib import Path

import pytest

from condseg_mmseg.evaluation.groups import read_groups
from condseg_mmseg.utils.errors import UserError


def test_the_sequences_that_we_ship(root: Path) -> None:
    table = root / 'configs/splits/cvc-clinicdb/sequences.csv'
    names = [f'data/cvc-clinicdb/images/{i}.png' for i in range(1, 613)]
    groups = read_groups(table, names)
    assert len(set(groups)) == 29
    assert groups[:26] == ['1'] * 25 + ['2']
    assert sum(int(group) % 2 for group in groups) == 329  # shared/data/cvc-clinicdb-odd


def test_a_dot_in_a_name_is_no_ending(tmp_path: Path) -> None:
    table = tmp_path / 'table.csv'
    table.write_text('image,patient\nf.1,p1\nf.2,p2\n')
    assert read_groups(table, ['f.2.png', 'f.1']) == ['p2', 'p1']


def test_folder_ending_and_blanks_do_not_count(tmp_path: Path) -> None:
    table = tmp_path / 'table.csv'
    table.write_text('image,patient\nx/a.png, p1 \n\nb,p2\na,p1\n')
    assert read_groups(table, ['b.jpg', 'y\\a.tif', 'a']) == ['p2', 'p1', 'p1']


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('n,g\na,1\n', 'no group for 1 images: b.png'),
        ('n,g\na,1\na,2\nb,1\n', 'a is in the groups 1 and 2'),
        ('n,g\nx/a.jpg,1\ny/a.png,2\n', 'a is in the groups 1 and 2'),
        ('n,g\na,1\nb\n', 'the row b does not fit the columns'),
    ],
)
def test_a_table_that_does_not_fit_is_named(tmp_path: Path, text: str, message: str) -> None:
    table = tmp_path / 'table.csv'
    table.write_text(text)
    with pytest.raises(UserError, match=rf'table\.csv.*{message}'):
        read_groups(table, ['a.png', 'b.png'])


def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r'none\.csv cannot be read as a table of groups'):
        read_groups(tmp_path / 'none.csv', [])
