"""Reads tables of comma-separated values, such as which group each image belongs to."""

from __future__ import annotations

import csv
import io

from .errors import UserError


def read_table(data: bytes, what: str) -> list[list[str]]:
    """Read comma-separated values, UTF-8, with LF, CRLF or CR line ends.

    Args:
        data: The content of a file.
        what: The file, for messages.

    Returns:
        The rows that are not empty, each cell without white space around it.

    Raises:
        UserError: It is no such table.
    """
    try:
        rows = list(csv.reader(io.StringIO(data.decode('utf-8-sig'), newline=None)))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f'{what}: no table of comma-separated values ({error})') from error
    return [[cell.strip() for cell in row] for row in rows if any(cell.strip() for cell in row)]


def read_group_table(
    data: bytes, what: str, columns: tuple[str, ...] | None = None
) -> dict[str, str]:
    """Read the group of every name from a table with a header and one image a row.

    Args:
        data: The content of a file.
        what: The file, for messages.
        columns: Names of the two columns, in lower case. Default None: the first two.

    Returns:
        Name -> group, in the order of the table.

    Raises:
        UserError: A column or a cell is missing, or a name is in two groups.
    """
    rows = read_table(data, what)
    header = [cell.lower() for cell in rows[0]] if rows else []
    found = [header.index(column) for column in columns or () if column in header]
    name_group = found if columns else [0, 1]
    if len(rows) < 2 or len(header) < 2 or len(name_group) < 2:
        raise UserError(
            f'{what}: a first line with the columns {",".join(columns or ("name", "group"))} and '
            f'a line for every image are needed, got {",".join(header) or "nothing"}'
        )
    name, group = name_group
    groups: dict[str, str] = {}
    for row in rows[1:]:
        few, more = row[: len(header)], row[len(header) :]
        if len(few) <= max(name, group) or not few[name] or not few[group] or any(more):
            raise UserError(
                f'{what}: the row {",".join(row)} does not fit the columns {",".join(header)}, of '
                f'which {header[name]} and {header[group]} must be there'
            )
        add_to_group(groups, row[name], row[group], what)
    return groups


def add_to_group(groups: dict[str, str], name: str, group: str, what: str) -> None:
    """Put a name into a group, in place.

    Args:
        groups: Name -> group.
        name: The name.
        group: Its group.
        what: The file that says so, for the message.

    Raises:
        UserError: The name is in another group already.
    """
    if groups.setdefault(name, group) != group:
        raise UserError(f'{what}: {name} is in the groups {groups[name]} and {group}')
