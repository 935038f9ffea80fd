"""Reads the CSV files of scores, and finds the same images in two of them."""

from __future__ import annotations

import csv
import math
from collections import Counter
from dataclasses import dataclass
from os.path import splitext
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ..datasets.files import has_image_suffix
from ..utils.errors import UserError
from ..utils.text import first_ten
from .functional import COUNTS

_NOT_SCORES = ('img_path', *COUNTS, 'size')


@dataclass
class ScoreFile:
    """Scores of a run.

    Args:
        path: CSV file.
        names: ``img_path`` of each row.
        scores: Shape (N,) per score, NaN where undefined.
        pixels: tp + fn and all pixels of each row, shape (N, 2), or None without counts.
        groups: Group of each row, or None where none was asked for.
    """

    path: str
    names: list[str]
    scores: dict[str, np.ndarray]
    pixels: np.ndarray | None
    groups: list[str] | None = None


def read_scores(path: str | Path, group_column: str | None = None) -> ScoreFile:
    """Read a CSV file of ``PerImageBinaryMetric`` or of ``condseg evaluate``.

    Args:
        path: The file.
        group_column: Column that names the group of each image, such as its video, and is no
            score. Default None.

    Raises:
        UserError: It is no such file: columns are missing, a row is of another length, a cell is
            no number, an image is there twice, or there is no image.
    """
    try:
        with open(path, newline='', encoding='utf-8-sig') as file:
            lines = csv.reader(file)
            header = next(lines, [])
            numbered = [(lines.line_num, row) for row in lines]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f'{path} cannot be read as a CSV file of scores: {error}') from error
    if group_column is not None and group_column not in header:
        raise UserError(f'{path} has no column {group_column}; it has {", ".join(header)}')
    names = [column for column in header if column not in (*_NOT_SCORES, group_column)]
    if 'img_path' not in header or not names:
        raise UserError(
            f'{path}: expected the columns img_path and at least one score, as '
            f'PerImageBinaryMetric writes them, got {", ".join(header) or "an empty file"}'
        )
    if len(set(header)) < len(header):
        raise UserError(f'{path}: a column is there twice: {", ".join(header)}')
    if not numbered:
        raise UserError(f'{path} holds no image')
    for line, row in numbered:
        if len(row) != len(header):
            raise UserError(f'{path}, line {line}: {len(row)} cells under {len(header)} columns')
    numbers, rows = zip(*numbered, strict=True)
    cells = dict(zip(header, zip(*rows, strict=True), strict=True))
    images = list(cells.pop('img_path'))
    cells.pop('size', None)
    groups = None if group_column is None else list(cells.pop(group_column))
    _refuse_twice(path, images)
    columns = {
        name: np.array([_number(path, *cell, name) for cell in zip(numbers, texts, strict=True)])
        for name, texts in cells.items()
    }
    pixels = None
    if columns.keys() >= set(COUNTS):
        tp, fp, fn, tn = (columns[column] for column in COUNTS)
        pixels = np.stack([tp + fn, tp + fp + fn + tn], axis=1)
    return ScoreFile(str(path), images, {name: columns[name] for name in names}, pixels, groups)


def _number(path: str | Path, line: int, text: str, column: str) -> float:
    try:
        value = float(text) if text.strip() else math.nan
    except ValueError:
        value = math.inf
    if math.isinf(value):
        raise UserError(f'{path}, line {line}, column {column}: {text!r} is no number')
    return value


def _refuse_twice(path: str | Path, names: list[str], what: str = 'image') -> None:
    twice = [name for name, n in Counter(names).items() if n > 1]
    if twice:
        raise UserError(f'{path}: the same {what} in several rows: {first_ten(twice)}')


def join(a: ScoreFile, b: ScoreFile, common: bool = False) -> tuple[np.ndarray, dict[str, Any]]:
    """Find the rows of the same images.

    Args:
        a: One run.
        b: The other.
        common: Leave out images that only one of them has. Default False.

    Returns:
        Row in A and row in B of each image, shape (2, N), in the order of A; and how they were
        found: ``joined_by`` (``'path'`` or ``'name'``, the file name without folders and ending),
        ``only_a`` and ``only_b`` (images left out).

    Raises:
        UserError: Images of one are missing in the other (unless ``common``), none is shared, or
            several images of a file share the name that would join them.
    """
    by, keys = 'path', [a.names, b.names]
    if set(a.names) != set(b.names):
        stems = [[stem(name) for name in run.names] for run in (a, b)]
        # the same data set in two places; images that paths distinguish are never joined by name
        if len(set(stems[0]) & set(stems[1])) > len(set(a.names) & set(b.names)):
            by, keys = 'name', stems
            for run, names in zip((a, b), stems, strict=True):
                _refuse_twice(run.path, names, 'file name')
    row_of = {key: i for i, key in enumerate(keys[1])}
    rows = [(i, row_of[key]) for i, key in enumerate(keys[0]) if key in row_of]
    shared = set(keys[0]) & set(keys[1])
    only_a, only_b = (
        [name for name, key in zip(run.names, own, strict=True) if key not in shared]
        for run, own in zip((a, b), keys, strict=True)
    )
    if not rows:
        raise UserError(
            f'{a.path} and {b.path} share no image; they name {a.names[0]} and {b.names[0]}, ...'
        )
    if (only_a or only_b) and not common:
        lines = [
            f'\n  only in {run.path}, {len(names)}: {first_ten(names)}'
            for run, names in ((a, only_a), (b, only_b))
            if names
        ]
        raise UserError(
            f'the files hold different images (--common compares the shared ones):{"".join(lines)}'
        )
    return np.array(rows).T, dict(joined_by=by, only_a=only_a, only_b=only_b)


def stem(path: str) -> str:
    """The name of an image without folders, of either kind, and without its ending."""
    name = PurePosixPath(path.replace('\\', '/')).name
    return splitext(name)[0] if has_image_suffix(name) else name
