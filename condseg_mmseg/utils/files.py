"""Files that are written as a whole, and JSON that every reader understands."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .errors import UserError


@contextlib.contextmanager
def replaced_at_once(path: str | Path, sync: bool = True) -> Iterator[Path]:
    """Write a file under a temporary name, and rename it when the block ends.

    Readers find the old content or the new one, also after a crash or a power cut. If the block
    raises, the old file stays. The folder must exist.

    Args:
        path: File to write or to replace. A symbolic link is followed.
        sync: Wait until the disk has it. Default True; without, which is for many files that can
            be made again, a power cut may leave a file that is empty or cut off.

    Yields:
        An empty file beside ``path``, with the same last suffix, of a name that no other process
        uses.
    """
    path = Path(os.path.realpath(path))
    mode = 0o666 & ~_umask()
    handle, name = tempfile.mkstemp(prefix=f'.{path.stem}.', suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        if sync:
            _sync(temporary)
        temporary.chmod(mode)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    if sync:
        with contextlib.suppress(OSError):  # not every file system can sync a folder
            _sync(path.parent)


@contextlib.contextmanager
def write_errors(path: str | Path) -> Iterator[None]:
    """Turn a write that fails, as the disk is full or read-only, into one sentence.

    Args:
        path: File that the block writes by :func:`replaced_at_once`.

    Raises:
        UserError: With the file and the reason.
    """
    try:
        yield
    except OSError as error:
        raise UserError(
            f'{path} cannot be written: {error.strerror or error}; what was saved before is whole'
        ) from error


def write_text(path: str | Path, text: str) -> None:
    """Write a text file in UTF-8, at once, and make its folder."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with replaced_at_once(path) as temporary:
        temporary.write_text(text, encoding='utf-8')


def write_json(path: str | Path, data: Any) -> None:
    """Write a JSON file at once, and make its folder.

    Args:
        path: File.
        data: What to write; NaN and infinity, which JSON does not know, become null. Bytes of a
            file name that are no UTF-8 are written as JSON escapes.
    """
    text = json.dumps(_without_nan(data), indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, text.encode(errors='backslashreplace').decode() + '\n')


def leads_out(path: str) -> bool:
    """Whether a path, as it is written, is absolute or climbs by ``..``; with forward slashes."""
    return path.startswith('/') or '..' in path.split('/') or bool(re.match('[A-Za-z]:', path))


def sha256(path: str | Path) -> str:
    """Hash of a file, hexadecimal."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
