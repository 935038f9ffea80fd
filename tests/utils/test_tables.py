"""Tables of numbers as text."""

import math

import pytest

from condseg_mmseg.utils.tables import number, table


def test_columns_line_up():
    assert table(['score', 'A'], [['dice', '9.00'], ['x', '10.00']]).split('\n') == [
        '| score |     A |',
        '| ----- | ----: |',
        '| dice  |  9.00 |',
        '| x     | 10.00 |',
    ]
    assert table(['a', 'b'], []) == '| a | b |\n| - | : |'


def test_a_row_of_another_length_is_refused():
    with pytest.raises(ValueError, match='shorter'):
        table(['a', 'b'], [['1']])


def test_numbers():
    assert [number(x) for x in (None, math.nan, 1.239, -0.5)] == ['-', '-', '1.24', '-0.50']
    assert (number(1.0, sign=True), number(-1.0, 1, sign=True)) == ('+1.00', '-1.0')


def test_long_cells_need_not_be_aligned():
    assert table(('a', 'bb'), [('x', '1')], aligned=False) == (
        '| a | bb |\n| --- | --- |\n| x | 1 |'
    )
