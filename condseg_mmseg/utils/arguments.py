"""What commands are given: what cannot be used is a ValueError of one line."""

import contextlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config


def refuse_inputs(
    option: str, output: str | Path | None, inputs: Iterable[str | Path | None]
) -> None:
    """Refuse to write over a file that is read.

    Args:
        option: How the user names the output, such as ``'--json'``.
        output: File to write. None, or a file that is not there yet, is fine.
        inputs: Files that are read, None for none. One that is not there is passed over.

    Raises:
        ValueError: ``output`` is one of ``inputs``, or a symbolic or hard link to one.
    """
    if output is None:
        return
    for path in (path for path in inputs if path is not None):
        with contextlib.suppress(OSError):  # one of them is not there
            if os.path.samefile(output, path):
                raise ValueError(f'{option} {output} would overwrite the input {path}')


def read_config(path: str | Path, options: Mapping[str, Any] | None = None) -> Config:
    """Read a config.

    Args:
        path: File.
        options: Dotted key -> value, which change it, as ``--cfg-options`` does. Default None.

    Raises:
        ValueError: It is not there, or fails.
    """
    try:
        config = Config.fromfile(str(path))
    except Exception as error:  # a config is a program, and may fail in any way
        reason = ' '.join(f'{type(error).__name__}: {error}'.split())
        raise ValueError(f'{path} cannot be read as a config: {reason}') from error
    config.merge_from_dict(dict(options or {}))
    return config


def check_device(device: str) -> None:
    """Look whether torch can use a device, before the work begins.

    Args:
        device: Value of ``--device``, such as ``'cuda:0'``.

    Raises:
        ValueError: It cannot.
    """
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:  # torch built without CUDA asserts
        reason = str(error).strip().partition('\n')[0]
        raise ValueError(f'--device {device} cannot be used: {reason}') from error
