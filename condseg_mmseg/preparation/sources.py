"""Read folders, zip and tar files alike, one file at a time, and never write where they say."""

from __future__ import annotations

import os
import re
import shutil
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from condseg_mmseg.datasets.files import walk
from condseg_mmseg.utils.errors import UserError, user_errors
from condseg_mmseg.utils.files import leads_out
from condseg_mmseg.utils.image_files import require_file
from condseg_mmseg.utils.text import first_ten

_JUNK = ('__MACOSX', 'Thumbs.db', 'desktop.ini')  # what file managers add to archives
_ARCHIVE = re.compile(r'(\.tar)?\.(zip|tar|tgz|gz|bz2|xz|rar|7z)$', re.I)
_Member = zipfile.ZipInfo | tarfile.TarInfo | None


@dataclass(frozen=True, eq=False, slots=True)
class Entry:
    """One file of a source."""

    source: Source
    path: str  # inside the source, with forward slashes
    size: int  # bytes
    order: int  # its place in the source; archives are read in this order
    member: _Member  # what the archive's module calls it

    @property
    def name(self) -> str:
        """File name."""
        return self.path.rpartition('/')[2]

    @property
    def folders(self) -> tuple[str, ...]:
        """The source's own name, without an archive's endings, and the folders below it."""
        return (self.source.stem, *PurePosixPath(self.path).parent.parts)

    def __str__(self) -> str:
        """Return source and path, as messages show it."""
        return f'{self.source.name}/{self.path}'


class Source:
    """A folder or an archive.

    Args:
        path: A folder, or a zip or tar file (``.tar``, ``.tar.gz``, ``.tar.bz2``, ``.tar.xz``).

    Raises:
        UserError: It does not exist, is no such archive, is damaged, or holds a path that leads
            out of it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = os.path.basename(os.path.realpath(path))
        self.links: list[str] = []  # of a folder, that were not followed
        self.stem = _ARCHIVE.sub('', self.name)
        self.kind = 'folder'
        self._archive: zipfile.ZipFile | tarfile.TarFile | None = None
        if path.is_dir():
            return
        if not path.exists():
            raise UserError(f'{path}: no such file or folder')
        with user_errors(OSError):
            require_file(path)
        if path.suffix.lower() in ('.rar', '.7z'):
            raise UserError(
                f'{path}: unpack it first and give the folder; only zip and tar are read here'
            )
        try:
            if zipfile.is_zipfile(path):
                self.kind, self._archive = 'zip', zipfile.ZipFile(path)
            else:
                self.kind, self._archive = 'tar', tarfile.open(path)
        except (OSError, EOFError, zipfile.BadZipFile, tarfile.TarError) as error:
            reason = str(error).partition(':\n')[0]  # tarfile lists what it tried
            raise UserError(
                f'{path}: neither a folder nor a whole zip or tar file ({reason})'
            ) from error

    def entries(self) -> list[Entry]:
        """Return its files, without hidden ones and what file managers add."""
        found = list(self._folder() if self._archive is None else self._members())
        unsafe = [path for path, _, _ in found if leads_out(path)]
        if unsafe and self._archive is not None:
            raise UserError(
                f'{self.path}: paths that lead out of it, so it is not read: {first_ten(unsafe)}'
            )
        return [
            Entry(self, path, size, order, member)
            for order, (path, size, member) in enumerate(found)
            if not any(part.startswith('.') or part in _JUNK for part in path.split('/'))
        ]

    def _folder(self) -> Iterator[tuple[str, int, _Member]]:
        for root, files in walk(str(self.path), self.links):
            for file in files:
                path = Path(root, file)
                if path.is_file():
                    yield path.relative_to(self.path).as_posix(), path.stat().st_size, None

    def _members(self) -> Iterator[tuple[str, int, _Member]]:
        if isinstance(self._archive, zipfile.ZipFile):
            for info in self._archive.infolist():
                if not info.is_dir():
                    yield info.filename.replace('\\', '/'), info.file_size, info
            return
        try:
            for member in self._archive or ():
                if member.isfile():  # links and devices are never followed
                    yield member.name.removeprefix('./'), member.size, member
        except (OSError, EOFError, tarfile.TarError) as error:
            raise UserError(f'{self.path}: a damaged archive ({error})') from error

    def fetch(self, entry: Entry, target: Path) -> Path:
        """Copy an archive's member to ``target``; of a folder, return the file itself.

        Raises:
            OSError: The file, or its part of the archive, cannot be read.
        """
        if self._archive is None:
            return self.path / entry.path
        try:
            with self._open(entry) as source, open(target, 'wb') as copy:
                shutil.copyfileobj(source, copy)
        except OSError:
            raise
        except Exception as error:  # zlib.error, BadZipFile, an encrypted member (RuntimeError)
            raise OSError(f'unreadable in the archive ({error})') from error
        return target

    def _open(self, entry: Entry) -> IO[bytes]:
        if isinstance(self._archive, zipfile.ZipFile):
            return self._archive.open(entry.member)  # type: ignore[arg-type]
        if self._archive is None:
            return (self.path / entry.path).open('rb')
        return self._archive.extractfile(entry.member)  # type: ignore[arg-type, return-value]

    def read(self, entry: Entry) -> bytes:
        """Return the content of a small file, such as a table."""
        if entry.size > 2**26:
            raise UserError(f'{entry}: {entry.size} bytes are too many for a table')
        try:
            with self._open(entry) as source:
                return source.read()
        except Exception as error:
            raise UserError(f'{entry}: unreadable ({error})') from error

    def close(self) -> None:
        """Close the archive."""
        if self._archive is not None:
            self._archive.close()


def is_archive(name: str) -> bool:
    """Whether a file is an archive by its ending."""
    return bool(_ARCHIVE.search(name))


def refuse_overlap(sources: Sequence[Path], out: Path) -> None:
    """Raise UserError if ``out`` is a source, lies in one, or holds one that is a folder.

    Its ``images`` and ``masks`` may be links.
    """

    def real(*paths: Path) -> list[Path]:  # Path.resolve fails where links run in a circle
        return [Path(os.path.realpath(path)) for path in paths]

    for target in real(out, out / 'images', out / 'masks'):
        for source in real(*sources):
            inside = target == source or source in target.parents
            if inside or (source.is_dir() and target in source.parents):
                raise UserError(
                    f'OUT ({target}) and SRC ({source}) overlap; give OUT a folder of its own'
                )
