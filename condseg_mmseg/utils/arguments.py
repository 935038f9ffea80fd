"""Checks of what a command was given, before its work begins."""

import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import cv2
import torch

from .errors import UserError


def refuse_inputs(
    option: str, output: str | Path | None, inputs: Iterable[str | Path | None]
) -> None:
    """Refuse to write over a file that is read.

    Args:
        option: How the user names the output, such as ``'--json'``.
        output: File to write. None, or a file that is not there yet, is fine.
        inputs: Files that are read, None for none. One that is not there is passed over.

    Raises:
        UserError: ``output`` is one of ``inputs``, or a symbolic or hard link to one.
    """
    if output is None:
        return
    for path in (path for path in inputs if path is not None):
        with contextlib.suppress(OSError):  # one of them is not there
            if os.path.samefile(output, path):
                raise UserError(f'{option} {output} would overwrite the input {path}')


def check_output(
    option: str,
    output: str | Path | None,
    inputs: Iterable[str | Path | None] = (),
    force: bool = False,
) -> None:
    """Refuse a file that cannot be written, would overwrite an input, or is there already.

    Args:
        option: How the user names the output, such as ``'--json'``.
        output: File to write. None is fine.
        inputs: Files that are read, None for none.
        force: Whether a file that is there, and no input, may be replaced. Default False.

    Raises:
        UserError: With what to change.
    """
    if output is None:
        return
    refuse_inputs(option, output, inputs)
    path = Path(output)
    if path.is_dir():
        raise UserError(f'{option} {output} is a folder: give a file')
    _check_writable(option, output, path.absolute().parent)
    if path.exists() and not force:
        raise UserError(f'{option} {output} is there already: add --force to replace it')


def check_folder(option: str, output: str | Path) -> None:
    """Refuse a folder to make, or to write into, that is a file or cannot be written.

    Args:
        option: How the user names it, such as ``'OUT'``.
        output: The folder; it need not be there.

    Raises:
        UserError: With what is in the way.
    """
    _check_writable(option, output, Path(output).absolute())


def _check_writable(option: str, output: str | Path, folder: Path) -> None:
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UserError(f'{option} {output} cannot be written: {folder} is no writable folder')


def check_outputs(
    outputs: Mapping[str, str | Path | None],
    inputs: Sequence[str | Path | None] = (),
    force: bool = False,
) -> None:
    """Refuse what :func:`check_output` refuses, and one file for two options.

    Args:
        outputs: File to write of each option; None is fine.
        inputs: Files that are read, None for none.
        force: Whether files that are there, and no inputs, may be replaced. Default False.

    Raises:
        UserError: With what to change.
    """
    taken: dict[str, str] = {}
    for option, output in outputs.items():
        check_output(option, output, inputs, force)
        if output is not None and (other := taken.setdefault(os.path.realpath(output), option)):
            if other != option:
                raise UserError(f'{other} and {option} name the same file, {output}')


def check_device(device: str) -> None:
    """Look whether torch can use a device, before the work begins.

    Args:
        device: Value of ``--device``, such as ``'cuda:0'``.

    Raises:
        UserError: It cannot.
    """
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:  # torch built without CUDA asserts
        reason = str(error).strip().partition('\n')[0]
        raise UserError(f'--device {device} cannot be used: {reason}') from error


def check_picture(option: str, output: str | Path) -> None:
    """Refuse a file whose ending is that of no picture.

    Args:
        option: How the user names the output, such as ``'--out'``.
        output: File to write.

    Raises:
        UserError: OpenCV cannot write it.
    """
    if not cv2.haveImageWriter(str(output)):
        raise UserError(f'{option} {output}: end it in .png or another kind of picture')
