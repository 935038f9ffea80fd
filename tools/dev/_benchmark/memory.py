"""Peak memory of one call, and of one in a fresh process (Linux)."""

from __future__ import annotations

import ctypes
import json
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import torch


class ChildError(RuntimeError):
    """The process whose peak memory is measured has failed; the message says why in one line."""


def peak_bytes(call: Callable[[], object], device: str) -> dict[str, int]:
    """Memory in bytes that ``call`` adds to the peak.

    Returns:
        ``added``: on a GPU what torch allocates above what it held, on the CPU how far the peak
        resident memory of this process rises above what it holds; and on the CPU ``resident``, the
        peak of the whole process.
    """
    if device != 'cpu':
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        call()
        return {'added': torch.cuda.max_memory_allocated(device) - before}
    ctypes.CDLL(None).malloc_trim(0)  # gives freed memory back
    Path('/proc/self/clear_refs').write_text('5')  # the peak starts at what is held now
    before = _peak_resident()
    call()
    peak = _peak_resident()
    return {'added': peak - before, 'resident': peak}


def _peak_resident() -> int:
    # ru_maxrss of a child starts at the peak of its parent; VmHWM is the process's own
    lines = Path('/proc/self/status').read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith('VmHWM:')) * 1024


def peak_of_process(command: Sequence[str], what: str) -> dict[str, int]:
    """Run a command that prints what :func:`peak_bytes` returns, as JSON in its last line.

    Raises:
        ChildError: It has failed; ``what`` names whose memory it is.
    """
    done = subprocess.run(command, capture_output=True, text=True, errors='replace')
    if done.returncode:
        said = done.stderr.strip().splitlines()  # of a traceback the last line is the error
        reason = said[-1].strip() if said else 'it printed nothing'
        if done.returncode < 0:  # killed: what it printed before does not say why
            reason = f'{signal.Signals(-done.returncode).name}, out of memory?'
        raise ChildError(f'{what}: status {done.returncode} of its own process ({reason})')
    return json.loads(done.stdout.splitlines()[-1])  # imports may print before
