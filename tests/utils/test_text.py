"""Lists and numbers in messages."""

import pytest

from condseg_mmseg.utils.text import count, file_size, first, first_ten


@pytest.mark.parametrize(
    ('number', 'expected'),
    [
        (0, ''),
        (2, '0, 1'),
        (10, '0, 1, 2, 3, 4, 5, 6, 7, 8, 9'),
        (13, '0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 3 more'),
    ],
)
def test_the_first_ten_and_how_many_more(number, expected):
    assert first_ten(range(number)) == expected
    lines = expected.replace(', ', '\n  ').replace(' and', '\n  and')
    assert first_ten(iter(range(number)), lines=True) == ('\n  ' + lines if number else '')


def test_another_number_than_ten():
    assert first('abc', 2) == 'a, b and 1 more'
    assert first('abc', 3) == 'a, b, c'


def test_nouns():
    assert [count(n, 'mask') for n in range(3)] == ['0 masks', '1 mask', '2 masks']


def test_sizes():
    sizes = (0, 999, 1000, 16_777_216, 123_456_789_012)
    assert [file_size(size) for size in sizes] == ['0 B', '999 B', '1 kB', '16.78 MB', '123.5 GB']
