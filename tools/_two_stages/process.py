"""Runs a training as a process that ends with this one, and keeps others out of its folder."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from . import UserError

LOCK = '.lock'
_PR_SET_PDEATHSIG = 1


@contextlib.contextmanager
def locked(folder: Path, patience: float = 20.0) -> Iterator[IO[str]]:
    """Hold the lock of a working directory.

    The training inherits it, so that a second one does not start in the same folder while the
    training of a killed parent is still going on.

    Args:
        folder: It must exist.
        patience: Seconds to wait, as the data loaders of a killed training take some to notice.

    Yields:
        The open lock file, to be inherited.

    Raises:
        UserError: It is held by others.
    """
    with (folder / LOCK).open('a+') as file:
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


def run_logged(
    command: list[str], log: Path, lock: IO[str], env: dict[str, str]
) -> tuple[int, int]:
    """Run a command; its output goes to our own and to the end of a log file.

    SIGINT and SIGTERM are passed to the command and all of its processes. If this process is
    killed, the kernel sends the command SIGTERM (on Linux).

    Args:
        command: What to run, in the current directory.
        log: File to append to.
        lock: What :func:`locked` gave.
        env: Environment of the command.

    Returns:
        The status that the command ended with, negative for a signal; and the signal that this
        process got meanwhile, 0 if none.
    """
    process: subprocess.Popen[str] | None = None
    got = 0

    def pass_on(number: int, frame: object = None) -> None:
        nonlocal got
        got = number
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with log.open('a', encoding='utf-8') as file:
            process = subprocess.Popen(
                command, env=env, text=True, errors='replace', bufsize=1,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                start_new_session=True, pass_fds=[lock.fileno()], preexec_fn=_end_with_parent(),
            )  # fmt: skip
            lock.truncate(0)
            lock.write(f'{process.pid}\n')
            lock.flush()
            if got:
                pass_on(got)
            for line in process.stdout:
                file.write(line)
                file.flush()
                sys.stdout.write(line)
                sys.stdout.flush()
            return process.wait(), got
    finally:
        if process is not None and process.poll() is None:  # our own output was closed, say
            pass_on(signal.SIGTERM)
            process.wait()
        for number, handler in before.items():
            signal.signal(number, handler)


def _end_with_parent() -> Callable[[], None] | None:
    """What a new process calls to be sent SIGTERM when this one ends."""
    if sys.platform != 'linux':
        return None
    parent = os.getpid()
    libc = ctypes.CDLL(None)  # loaded here: after a fork, little is safe

    def ask() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it ended before the call
            os._exit(1)

    return ask


def tail(log: Path, lines: int = 20) -> str:
    """The last lines of a file."""
    with log.open(encoding='utf-8', errors='replace') as file:
        return ''.join(deque(file, lines))
