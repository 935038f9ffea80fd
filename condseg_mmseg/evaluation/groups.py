"""Which group, such as a video or a patient, each image belongs to."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path, PurePath

from ..utils.errors import UserError
from ..utils.text import first_ten


def read_groups(path: str | Path, names: Sequence[str]) -> list[str]:
    """Read the group of each image from a table of names and groups.

    Args:
        path: CSV file with a header; its first column names images, its second their groups, as
            ``configs/splits/cvc-clinicdb/sequences.csv``.
        names: Names or paths of images. Folder and ending do not count, here and in the table.

    Returns:
        Group of each name, in the order of ``names``.

    Raises:
        UserError: The file cannot be read or has less than two columns, names an image twice, or
            lacks one of ``names``.
    """
    table: dict[str, str] = {}
    try:
        with open(path, newline='', encoding='utf-8-sig') as file:
            rows = [row for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f'{path} cannot be read as a table of groups: {error}') from error
    for number, row in enumerate(rows[1:], 2):
        if len(row) < 2 or not row[1].strip():
            raise UserError(f'{path}, row {number}: needs an image and its group, got {row}')
        name = _stem(row[0])
        if table.setdefault(name, row[1].strip()) != row[1].strip():
            raise UserError(
                f'{path}, row {number}: {name} is in group {row[1].strip()} and in {table[name]}'
            )
    missing = [name for name in names if _stem(name) not in table]
    if missing:
        raise UserError(f'{path} has no group for {len(missing)} images: {first_ten(missing)}')
    return [table[_stem(name)] for name in names]


def _stem(name: str) -> str:
    return PurePath(name.strip().replace('\\', '/')).stem
