"""Lists in messages."""

import pytest

from condseg_mmseg.utils.text import first_ten


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
