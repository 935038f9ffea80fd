"""The record of both trainings, two_stages.json."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from datetime import datetime, timezone
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from . import UserError

NAME = 'two_stages.json'
_TOOL = 'tools/train_two_stages.py'
_MODULES = ('torch', 'mmengine', 'mmcv', 'mmseg', 'condseg_mmseg')


class Record(dict):
    """A dict that is written as a whole, under a temporary name first.

    Args:
        path: File to write to.
        content: What it begins with.
    """

    def __init__(self, path: Path, content: dict[str, Any]) -> None:
        super().__init__(content)
        self.path = path

    @classmethod
    def new(cls, folder: Path, **content: Any) -> Record:
        """Begin a record in a working directory."""
        return cls(folder / NAME, dict(tool=_TOOL, format=1, **content, stages={}))

    @classmethod
    def read(cls, folder: Path) -> Record | None:
        """Read the record of a working directory, None if there is none.

        Raises:
            UserError: The file is not a record of this tool.
        """
        path = folder / NAME
        if not path.is_file():
            return None
        try:
            content = json.loads(path.read_text(encoding='utf-8'))
        except ValueError as error:
            raise UserError(f'{path}: not JSON: {error}') from error
        if not isinstance(content, dict) or content.get('tool') != _TOOL:
            raise UserError(f'{path}: not a record of {_TOOL}')
        if content.get('format') != 1:
            raise UserError(f'{path}: format {content.get("format")}, this version knows 1')
        return cls(path, content)

    def any_complete(self) -> bool:
        """Whether a stage has been trained to its end."""
        return any(entry['complete'] for entry in self['stages'].values())

    def save(self) -> None:
        """Write the file; whoever reads it sees the old one or the new one."""
        part = self.path.with_name(f'{self.path.name}.part')
        with part.open('w', encoding='utf-8') as file:
            json.dump(self, file, indent=1)
            file.write('\n')
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, self.path)


def now() -> str:
    """The time, UTC, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec='seconds')


def surroundings(checkout: Path) -> dict[str, Any]:
    """What a training ran on and with: versions, commit, machine.

    Args:
        checkout: Root of the repository that this tool lies in; another folder gives no commit.
    """
    versions = dict(python=platform.python_version())
    versions |= {name: str(import_module(name).__version__) for name in _MODULES}
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    machine = dict(
        name=platform.node(), system=platform.platform(), cpu=_cpu(), cpus=os.cpu_count(),
        threads=torch.get_num_threads(), gpus=gpus,
    )  # fmt: skip
    return dict(versions=versions, commit=_commit(checkout), machine=machine)


def _cpu() -> str:
    try:
        lines = Path('/proc/cpuinfo').read_text(encoding='utf-8').splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
    return names[0] if names else platform.processor()


def _commit(checkout: Path) -> str | None:
    """The commit, with '+changes' behind it where files of the checkout differ from it."""
    if not (checkout / '.git').exists():
        return None
    try:
        commit, status = (
            subprocess.run(
                ['git', '-C', str(checkout), *args], capture_output=True, text=True, check=True
            ).stdout.strip()
            for args in (['rev-parse', 'HEAD'], ['status', '--porcelain', '-uno'])
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit + ('+changes' if status else '')
