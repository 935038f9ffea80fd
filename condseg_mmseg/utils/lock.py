"""The lock of a folder."""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from .errors import UserError

LOCK = '.lock'


@contextlib.contextmanager
def locked(folder: str | Path, patience: float = 20.0) -> Iterator[IO[str]]:
    """Hold the lock of a folder, so that no second run works in it.

    A process that inherits the open file holds the lock, too. It may write its process group into
    the file, which the message to others names.

    Args:
        folder: It must exist.
        patience: Seconds to wait, as the data loaders of a killed training take some to notice.

    Yields:
        The open lock file.

    Raises:
        UserError: Another process holds it.
    """
    with (Path(folder) / LOCK).open('a+') as file:
        end = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    file.seek(0)
                    owner = file.read().strip() or 'unknown'
                    raise UserError(
                        f'{folder}: a run is still going on there (process group {owner}): wait '
                        f'for it, or end it with `kill -- -{owner}`'
                    ) from None
                time.sleep(0.2)
        yield file
