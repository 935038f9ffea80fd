"""Tables of comma-separated values, and of groups."""

import pytest

from condseg_mmseg.utils.csv_tables import read_group_table, read_table
from condseg_mmseg.utils.errors import UserError


@pytest.mark.parametrize('end', [b'\n', b'\r\n', b'\r'])
def test_tables_with_any_line_end(end):
    data = b'\xef\xbb\xbf' + end.join([b'Name, Patient', b'"a,1", 3', b'', b'b,4'])
    assert read_table(data, 't.csv') == [['Name', 'Patient'], ['a,1', '3'], ['b', '4']]
    assert read_group_table(data, 't.csv') == {'a,1': '3', 'b': '4'}
    assert read_group_table(data, 't.csv', ('patient', 'name')) == {'3': 'a,1', '4': 'b'}


@pytest.mark.parametrize('head', [b'id,id', b'ID,id,notes', b'a,b,'])
def test_the_first_two_columns_whatever_their_names(head):
    data = head + b'\na,p1,\nb,p2\n'
    assert read_group_table(data, 't.csv') == {'a': 'p1', 'b': 'p2'}


@pytest.mark.parametrize(
    ('data', 'text'),
    [
        (b'', 'got nothing'),
        (b'name\na\n', 'a first line with the columns name,group'),
        (b'name,group\na\n', 'the row a does not fit the columns name,group, of which'),
        (b'name,group\na,b.png,1\n', 'the row a,b.png,1 does not fit the columns name,group'),
        (b'name,group\na,1\na,2\n', 'a is in the groups 1 and 2'),
        (b'name,group\n\xff,1\n', 'no table of comma-separated values'),
    ],
)
def test_wrong_tables_are_named(data, text):
    with pytest.raises(UserError, match=r't\.csv: ') as error:
        read_group_table(data, 't.csv')
    assert text in str(error.value)
