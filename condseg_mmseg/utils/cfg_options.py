"""Paths as values of ``--cfg-options``, which changes some of their characters."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from mmengine.config import DictAction

from .errors import UserError


def read_options(options: list[str]) -> dict[str, Any]:
    """Read ``KEY=VALUE`` texts as mmengine's ``--cfg-options`` does.

    Args:
        options: One text for each option.

    Raises:
        UserError: A text is not ``KEY=VALUE``, or its brackets do not pair.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='*', action=DictAction, default={})
    for text in options:
        key, sign, _ = text.partition('=')
        if not key or not sign or text.startswith('-'):
            raise UserError(f'{text!r} is no option: write KEY=VALUE')
    try:
        return parser.parse_args(['--cfg-options', *options]).cfg_options
    except AssertionError as error:
        raise UserError(f'{" ".join(options)}: {error}') from error


def path_option(key: str, path: Path, root: Path) -> str:
    """Make a ``KEY=PATH`` that mmengine reads as the path.

    mmengine deletes spaces, splits at commas and takes quotation marks and brackets away.

    Args:
        key: Dotted key of the config.
        path: Absolute path; below ``root`` it is given relative to it.
        root: Absolute path of the directory that the script will run in.

    Raises:
        UserError: mmengine would read something else.
    """
    text = str(path.relative_to(root) if path.is_relative_to(root) else path)
    option = f'{key}={text}'
    try:
        read = read_options([option])[key]
    except UserError:
        read = None
    if read != text:
        raise UserError(
            f'{text}: a path with a space, a comma, a quotation mark or a bracket cannot be passed '
            'to mmengine; choose another one'
        )
    return option
