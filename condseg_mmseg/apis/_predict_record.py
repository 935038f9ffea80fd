"""What lies in a folder of predictions, so that a second run does not repeat it."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

from ..utils.environment import environment
from ..utils.errors import UserError
from ..utils.files import replaced_at_once, write_json
from ..visualization.prediction_files import is_whole_png

SETTINGS, TABLE = 'predict.json', 'predictions.csv'
FIELDS = (
    *('name', 'image', 'mask', 'status', 'width', 'height', 'area_pixels', 'area_share'),
    *('objects', 'boxes', 'mean_confidence', 'image_bytes', 'image_mtime_ns', 'error'),
)


class Record:
    """The settings and the table of a folder of predictions.

    A row is added when all files of an image are in place: after a crash, what has a row is whole.
    Files are not synced one by one; after a power cut, one that lacks its end is made again.

    Args:
        out: Folder, which exists.
        settings: What the predictions depend on.
        made_with: What else to note.
        force: Begin anew where the settings are others. Default False.

    Raises:
        UserError: The folder has predictions of other settings, or what it has is no record.
    """

    def __init__(
        self,
        out: Path,
        settings: Mapping[str, Any],
        made_with: Mapping[str, Any],
        force: bool = False,
    ) -> None:
        self.out = out
        former = self._former(force)
        self.is_old = former is not None
        if not self.is_old and not force and (out / TABLE).exists():
            raise UserError(
                f'{out / TABLE} is there, and no earlier run wrote it: give another --out, or '
                '--force to replace it'
            )
        rows = self._read() if self.is_old else {}
        self.rows, stale = (rows, {}) if former == settings else ({}, rows)
        self.stale = list(stale)  # names of predictions of other settings
        if former is not None and former != settings and not force:
            keys = [key for key in settings if settings[key] != former.get(key)]
            raise UserError(
                f'{out} holds predictions of other settings ({", ".join(keys)}): give another '
                '--out, or --force to begin it anew'
            )
        self._settings = dict(settings=settings, made_with=made_with, environment=environment())
        self._file: IO[str] | None = None

    def _former(self, force: bool) -> Any:
        path = self.out / SETTINGS
        if not path.is_file():
            return None
        try:
            return json.loads(path.read_text(encoding='utf-8'))['settings']
        except (OSError, ValueError, KeyError, TypeError) as error:
            if force:
                return None
            raise UserError(f'{path} is no record of predictions: add --force ({error})') from error

    def _read(self) -> dict[str, dict[str, str]]:
        path, rows = self.out / TABLE, {}
        if path.is_file():
            with path.open(encoding='utf-8', errors='surrogateescape', newline='') as file:
                for row in csv.DictReader(file):
                    if None not in row and None not in row.values():  # else cut off by a crash
                        rows[row['name']] = row
        return rows

    def __enter__(self) -> Record:
        """Write the rows that are kept, then the settings, and open the table for more."""
        self._write(self.rows.values())  # first: rows never have the settings of other weights
        write_json(self.out / SETTINGS, self._settings)
        self._file = self._open(self.out / TABLE, 'a')
        return self

    def __exit__(self, *error: object) -> None:
        """Write the table in the order of the names."""
        if self._file is not None:
            self._file.close()
        self._write(row for _, row in sorted(self.rows.items()))

    def is_done(self, name: str, image: Path, files: Iterable[Path]) -> bool:
        """Whether an image has its files, up to their ends, made from the image as it is now."""
        row = self.rows.get(name)
        return (
            row is not None
            and row['status'] == 'ok'
            and row['image'] == os.path.abspath(image)
            and all(row[key] == value for key, value in stamp(image).items())
            and all(map(is_whole_png, files))
        )

    def others(self, images: Mapping[str, Path]) -> list[str]:
        """Predictions of the same name that were made from another file.

        Args:
            images: Name -> file.
        """
        return [
            f'{name}: {self.rows[name]["image"]}'
            for name, image in images.items()
            if name in self.rows and self.rows[name]['image'] != os.path.abspath(image)
        ]

    def add(self, name: str, image: Path, **values: Any) -> None:
        """Add the row of an image, or replace it."""
        path = os.path.abspath(image)
        row = dict.fromkeys(FIELDS, '') | stamp(image) | dict(name=name, image=path)
        row |= {key: str(value) for key, value in values.items()}
        self.rows[name] = row
        assert self._file is not None
        csv.DictWriter(self._file, FIELDS).writerow(row)
        self._file.flush()

    def _write(self, rows: Iterable[dict[str, str]]) -> None:
        with replaced_at_once(self.out / TABLE) as temporary, self._open(temporary, 'w') as file:
            writer = csv.DictWriter(file, FIELDS)
            writer.writeheader()
            writer.writerows(rows)

    @staticmethod
    def _open(path: Path, mode: str) -> IO[str]:
        return path.open(mode, encoding='utf-8', errors='surrogateescape', newline='')


def stamp(image: Path) -> dict[str, str]:
    """Size and time of change of an image, empty for one that is not there."""
    try:
        status = image.stat()
    except OSError:
        return dict(image_bytes='', image_mtime_ns='')
    return dict(image_bytes=str(status.st_size), image_mtime_ns=str(status.st_mtime_ns))
