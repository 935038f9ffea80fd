"""What is damaged in a checkpoint, by the checksums of its archive."""

from __future__ import annotations

import zipfile
from pathlib import Path

_OLD_FORMAT = b'\x80'  # a bare pickle


def damage_of(path: str | Path) -> str:
    """Say in a few words what is damaged in a file of ``torch.save``, '' if nothing is.

    The checksums of the whole archive are compared, which reads the file once. Files that torch
    older than 1.6 wrote have none, and count as whole.

    Args:
        path: A file.
    """
    path = Path(path)
    try:
        with path.open('rb') as file:
            start = file.read(4)
        if not start.strip(b'\0'):
            return 'it is empty' if not path.stat().st_size else 'it begins with zeros'
        if start[:1] == _OLD_FORMAT:
            return ''
        if start[:2] != b'PK':
            return 'torch.save did not write it'
        with zipfile.ZipFile(path) as archive:
            bad = archive.testzip()
        return f'it is damaged (checksum of {bad})' if bad else ''
    except OSError as error:
        return f'it cannot be opened ({error.strerror or error})'
    except Exception:  # zipfile raises whatever a damaged directory leads it to
        return 'it is truncated or damaged'
