"""Tables and JSON files of the tools beside it."""

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out a Markdown table whose columns also line up as plain text.

    Args:
        header: Names of the columns.
        rows: Cells; the first column is set to the left, all others to the right.

    Returns:
        The lines, without a line end behind the last.
    """
    lines = [list(header), *map(list, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    lines.insert(1, ['-' * widths[0], *('-' * (width - 1) + ':' for width in widths[1:])])

    def cell(text: str, i: int) -> str:
        return text.rjust(widths[i]) if i else text.ljust(widths[i])

    return '\n'.join(f'| {" | ".join(cell(t, i) for i, t in enumerate(x))} |' for x in lines)


def number(value: float | None, digits: int = 2, sign: bool = False) -> str:
    """Write a number, or a dash where there is none."""
    if value is None or math.isnan(value):
        return '-'
    return f'{value:{"+" if sign else ""}.{digits}f}'


def without_nan(value):
    """Replace NaN and infinity, which JSON does not know, by None, at any depth."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def write_json(path: Path, data: dict) -> None:
    """Write a JSON file at once, making its folder; it is never half-written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f'{path.name}.{os.getpid()}.tmp')
    try:
        temporary.write_text(json.dumps(without_nan(data), indent=2, allow_nan=False) + '\n')
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(path: Path | None) -> str:
    """Say why a file cannot be written, before the work is done.

    Returns:
        One sentence, or an empty string.
    """
    if path is None:
        return ''
    if path.is_dir():
        return f'{path} cannot be written: it is a folder'
    folder = path.absolute().parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        return f'{path} cannot be written: {folder} is no folder that can be written to'
    return ''
