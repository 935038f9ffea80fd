"""Which group, such as a video or a patient, each image belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..utils.csv_tables import add_to_group, read_group_table
from ..utils.errors import UserError
from ..utils.text import first_ten
from .score_file import stem


def read_groups(path: str | Path, names: Sequence[str]) -> list[str]:
    """Read the group of each image from a table of names and groups.

    Args:
        path: CSV file with a header; its first column names images, its second their groups, as
            ``configs/splits/cvc-clinicdb/sequences.csv``.
        names: Names or paths of images. Folder and ending do not count, here and in the table.

    Returns:
        Group of each name, in the order of ``names``.

    Raises:
        UserError: The file cannot be read, a row lacks a cell, an image is in two groups, or one of
            ``names`` is in none.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise UserError(f'{path} cannot be read as a table of groups: {error}') from error
    table: dict[str, str] = {}
    for name, group in read_group_table(data, str(path)).items():
        add_to_group(table, stem(name), group, str(path))
    missing = [name for name in names if stem(name) not in table]
    if missing:
        raise UserError(f'{path} has no group for {len(missing)} images: {first_ten(missing)}')
    return [table[stem(name)] for name in names]
