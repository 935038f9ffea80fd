"""Tables of numbers as text."""

from __future__ import annotations

import math
from collections.abc import Sequence


def table(header: Sequence[str], rows: Sequence[Sequence[str]], aligned: bool = True) -> str:
    """Lay out a Markdown table whose columns also line up as plain text.

    Args:
        header: Names of the columns.
        rows: Cells; the first column is set to the left, all others to the right.
        aligned: Default True. False: cells as they are, for long ones such as links.

    Returns:
        The lines, without a line end after the last.
    """
    lines = [list(header), *map(list, rows)]
    if not aligned:
        lines.insert(1, ['---'] * len(header))
        return '\n'.join(f'| {" | ".join(line)} |' for line in lines)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ['-' * widths[0], *('-' * (width - 1) + ':' for width in widths[1:])])

    def cell(text: str, i: int) -> str:
        return text.rjust(widths[i]) if i else text.ljust(widths[i])

    return '\n'.join(f'| {" | ".join(cell(t, i) for i, t in enumerate(x))} |' for x in lines)


def number(value: float | None, digits: int = 2, sign: bool = False) -> str:
    """Write a number, or a dash where there is none.

    Args:
        value: None and NaN are no number.
        digits: After the point. Default 2.
        sign: Write a plus sign, too. Default False.
    """
    if value is None or math.isnan(value):
        return '-'
    return f'{value:{"+" if sign else ""}.{digits}f}'
