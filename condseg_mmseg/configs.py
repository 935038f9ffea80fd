"""Finds and reads configs: those that come with the package by name, all others by path."""

from __future__ import annotations

import ast
import difflib
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from .utils.arguments import check_output
from .utils.errors import UserError
from .utils.files import replaced_at_once

_PACKAGE = Path(__file__).resolve().parent


def config_dir(package: Path = _PACKAGE) -> Path:
    """Returns the directory of the shipped configs.

    Args:
        package: Directory of the package; a wheel keeps the configs in ``.mim/configs`` below it,
            a checkout (also one installed with ``pip install -e``) in ``configs`` beside it.

    Raises:
        FileNotFoundError: There are none in either place.
    """
    candidates = (package / '.mim' / 'configs', package.parent / 'configs')
    for candidate in candidates:
        # site-packages may hold a foreign ``configs``: ours has this file
        if (candidate / '_base_' / 'default_runtime.py').is_file():
            return candidate
    places = ' or '.join(str(candidate) for candidate in candidates)
    raise FileNotFoundError(f'no configs in {places}; install condseg-mmseg anew')


def list_configs(directory: Path) -> list[Path]:
    """Returns the configs that stand alone, i.e. all but the bases, sorted.

    Args:
        directory: What :func:`config_dir` returns.
    """
    return sorted(path for path in directory.rglob('*.py') if '_base_' not in path.parts)


def find_config(name_or_path: str | Path) -> Path:
    """Returns the file of a config.

    Args:
        name_or_path: A file, or the name of a shipped config, with or without ``.py``. A file of
            this name, relative to the current directory, comes first.

    Raises:
        UserError: It is neither; names the shipped configs that are called nearly the same.
    """
    path = Path(name_or_path)
    if path.is_file():
        return path
    shipped = {config.stem: config for config in list_configs(config_dir())}
    name = path.name.removesuffix('.py')
    if len(path.parts) == 1 and name in shipped:
        return shipped[name]
    near = difflib.get_close_matches(name, shipped, n=3, cutoff=0.5)
    hint = f'; did you mean {" or ".join(near)}?' if near else ''
    raise UserError(
        f'{name_or_path} is neither a file nor a shipped config (see `condseg configs`){hint}'
    )


def read_config(name_or_path: str | Path, options: Mapping[str, Any] | None = None) -> Config:
    """Reads a config.

    Args:
        name_or_path: As of :func:`find_config`.
        options: Dotted key -> value, which change it, as ``--cfg-options`` does. Default None.

    Raises:
        UserError: It is not there, or fails.
    """
    path = find_config(name_or_path)
    try:
        config = Config.fromfile(str(path))
        config.merge_from_dict(dict(options or {}))
    except Exception as error:  # a config is a program, and may fail in any way
        reason = ' '.join(f'{type(error).__name__}: {error}'.split())
        raise UserError(f'{path} cannot be read as a config: {reason}') from error
    return config


def copy_configs(
    folder: str | Path, names: Sequence[str] = (), *, force: bool = False
) -> list[Path]:
    """Copies shipped configs, with all that they are based on, so that the copies work.

    Args:
        folder: Where to; subfolders are those of :func:`config_dir`.
        names: Names of the configs. Default: all, with the other files beside them.
        force: Replace files that are there. Default False.

    Returns:
        The new files, sorted.

    Raises:
        UserError: A name is unknown, or a file is there already.
    """
    source = config_dir()
    if names:
        wanted = {base for name in names for base in _with_bases(_shipped(name))}
    else:
        wanted = {path for path in source.rglob('*') if path.is_file() and path.suffix != '.pyc'}
    copies = {Path(folder) / path.relative_to(source): path for path in sorted(wanted)}
    for target, path in copies.items():
        check_output('--copy', target, [path], force)
    for target, path in copies.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        with replaced_at_once(target) as temporary:
            shutil.copyfile(path, temporary)
    return list(copies)


def _shipped(name: str) -> Path:
    path = find_config(name)
    if not path.resolve().is_relative_to(config_dir()):
        raise UserError(f'{name} is no shipped config, only those can be copied')
    return path.resolve()


def _with_bases(path: Path) -> set[Path]:
    """The file, and those that its ``_base_`` names, and so on."""
    found = {path}
    for node in ast.parse(path.read_text(encoding='utf-8')).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == '_base_':
            bases = ast.literal_eval(node.value)
            for base in [bases] if isinstance(bases, str) else bases:
                found |= _with_bases((path.parent / base).resolve())
    return found


def at_size(part: Any, size: tuple[int, int]) -> Any:
    """Copies a part of a config with every ``ResizeWithMask``, and ``img_size``, at another size.

    For configs, e.g. ``train_pipeline = at_size(_base_.train_pipeline, (160, 160))``, or all of a
    base at once: ``globals().update(at_size(_base_, (160, 160)))``.

    Args:
        part: A pipeline, a dataloader or anything else that holds transforms.
        size: Width and height in pixels.
    """
    if isinstance(part, list):
        return [at_size(item, size) for item in part]
    if not isinstance(part, dict):
        return part
    sized = {'img_size': size} if 'img_size' in part else {}
    if part.get('type') == 'ResizeWithMask':
        sized['scale'] = size
    return {key: at_size(value, size) for key, value in part.items()} | sized
