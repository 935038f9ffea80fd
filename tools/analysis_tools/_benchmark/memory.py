"""Peak memory of one call, and of one in a fresh process."""

from __future__ import annotations

import ctypes
import json
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch


class ChildError(RuntimeError):
    """The process that tells the peak memory has failed; the message says why in one line."""


def peak_bytes(call: Callable, device: str) -> dict[str, int]:
    """Memory that ``call`` adds to the peak.

    On a GPU what torch allocates above what it held. On the CPU how far the peak resident memory of
    this process rises above what it holds; where the system cannot forget an earlier peak (not
    Linux), this is only right in a process that has done nothing larger before.

    Returns:
        ``added`` in bytes and, on the CPU, ``resident``: the peak of the whole process.
    """
    if device != 'cpu':
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        call()
        return {'added': torch.cuda.max_memory_allocated(device) - before}
    _forget_peak()
    before = _peak_resident()
    call()
    peak = _peak_resident()
    return {'added': peak - before, 'resident': peak}


def peak_of_process(command: Sequence[str], what: str) -> dict[str, int]:
    """Run a command that prints what :func:`peak_bytes` returns, as JSON in its last line.

    Args:
        command: Program and arguments.
        what: Whose memory it tells, for the error message.

    Raises:
        ChildError: It has failed.
    """
    done = subprocess.run(command, capture_output=True, text=True, errors='replace')
    if done.returncode:
        said = done.stderr.strip().splitlines()  # of a traceback the last line is the error
        reason = said[-1].strip() if said else 'it printed nothing'
        if done.returncode < 0:  # killed: what it printed before does not tell why
            reason = f'{signal.Signals(-done.returncode).name}, out of memory?'
        raise ChildError(
            f'the peak memory of {what}, cannot be measured: its process '
            f'ended with status {done.returncode} ({reason})'
        )
    return json.loads(done.stdout.splitlines()[-1])  # imports may print before


def _forget_peak() -> None:
    """Give freed memory back, and let the peak resident memory start at what is held now."""
    try:
        ctypes.CDLL(None).malloc_trim(0)  # glibc
    except (AttributeError, OSError, TypeError):
        pass
    try:
        Path('/proc/self/clear_refs').write_text('5')
    except OSError:
        pass


def _peak_resident() -> int:
    # ru_maxrss of a child starts at the peak of its parent on Linux; VmHWM is the process's own
    status = Path('/proc/self/status')
    if status.is_file():
        for line in status.read_text().splitlines():
            if line.startswith('VmHWM:'):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == 'darwin' else peak * 1024
