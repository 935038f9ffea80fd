"""Runs a command as a process that ends with this one."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

_PR_SET_PDEATHSIG = 1


class ProcessError(RuntimeError):
    """A process ended badly.

    Args:
        message: What it was, and how to go on.
        status: What it ended with, negative for a signal.
        stopped: The signal that this process got meanwhile. Default 0: none.
    """

    def __init__(self, message: str, status: int, stopped: int = 0) -> None:
        super().__init__(message)
        # as a shell counts
        self.status = 128 + stopped if stopped else 128 - status if status < 0 else status


def silent(line: str) -> None:
    """Show nothing: the default of the functions that report lines."""


def run_logged(
    command: Sequence[str],
    log: Path | None = None,
    show: Callable[[str], None] = silent,
    lock: IO[str] | None = None,
) -> tuple[int, int]:
    """Run a command in the current directory; it ends when this process does.

    SIGINT and SIGTERM are passed to the command and all of its processes. If this process is
    killed, the kernel sends the command SIGTERM (on Linux).

    Args:
        command: Program and arguments.
        log: File to append its output to. Default None: none.
        show: Is called with every line of its output, without line break. Default: nothing.
        lock: What :func:`condseg_mmseg.utils.lock.locked` gave. The command inherits it, so that
            the folder stays locked as long as the command runs. Default None.

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
        with open(log or os.devnull, 'a', encoding='utf-8') as file:
            process = subprocess.Popen(
                command, env=dict(os.environ, PYTHONUNBUFFERED='1'), text=True, errors='replace',
                bufsize=1, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
                pass_fds=[lock.fileno()] if lock else [], preexec_fn=_end_with_parent(),
            )  # fmt: skip
            if lock:
                lock.truncate(0)
                lock.write(f'{process.pid}\n')
                lock.flush()
            if got:
                pass_on(got)
            assert process.stdout is not None
            for line in process.stdout:
                file.write(line)
                file.flush()
                show(line.rstrip('\n'))
            return process.wait(), got
    finally:
        if process is not None and process.poll() is None:  # ``show`` failed
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
