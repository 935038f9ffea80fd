"""What a result was made with: versions, commit, machine, date."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import datetime, timezone
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

_MODULES = ('torch', 'mmengine', 'mmcv', 'mmseg', 'condseg_mmseg')
_CHECKOUT = Path(__file__).resolve().parents[2]


def now() -> str:
    """The time, UTC, to the second, such as ``'2026-11-24T13:10:11+00:00'``."""
    return datetime.now(timezone.utc).isoformat(timespec='seconds')


def environment() -> dict[str, Any]:
    """Describe what this process runs on and with.

    Returns:
        ``date`` (UTC), ``versions`` (of Python and of the stack), ``commit`` (of the checkout that
        this package lies in, None without one) and ``machine`` (``name``, ``system``, ``cpu``,
        ``cpus``, ``threads`` of torch, ``gpus``).
    """
    versions = {'python': platform.python_version()}
    versions |= {name: str(import_module(name).__version__) for name in _MODULES}
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    machine = dict(
        name=platform.node(), system=platform.platform(), cpu=cpu_name(), cpus=os.cpu_count(),
        threads=torch.get_num_threads(), gpus=gpus,
    )  # fmt: skip
    return dict(date=now(), versions=versions, commit=commit(), machine=machine)


def cpu_name() -> str:
    """Name of the processor, as ``/proc/cpuinfo`` or Python gives it."""
    try:
        lines = Path('/proc/cpuinfo').read_text(encoding='utf-8').splitlines()
    except OSError:
        lines = []
    names = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
    return names[0] if names else platform.processor() or platform.machine()


def commit(checkout: Path = _CHECKOUT) -> str | None:
    """The commit of a checkout, with ``+changes`` after it where tracked files differ from it.

    Args:
        checkout: Its root. Default: the one that this package lies in.

    Returns:
        None for a folder that is no checkout, or without git.
    """
    if not (checkout / '.git').exists():
        return None
    try:
        head, status = (
            subprocess.run(
                ['git', '-C', str(checkout), *args], capture_output=True, text=True, check=True
            ).stdout.strip()
            for args in (['rev-parse', 'HEAD'], ['status', '--porcelain', '-uno'])
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return head + ('+changes' if status else '')
