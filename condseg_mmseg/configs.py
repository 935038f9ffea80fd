"""Finds the configs that come with the package.

``python -m condseg_mmseg.configs`` prints their directory, ``--list`` the configs one can train.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

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


def main(argv: list[str] | None = None) -> None:
    """Prints the directory, or with ``--list`` the path of every config.

    Args:
        argv: Command-line arguments; those of the process by default.
    """
    parser = argparse.ArgumentParser(
        prog='python -m condseg_mmseg.configs', description='Print where the shipped configs are.'
    )
    parser.add_argument('--list', action='store_true', help='print every config instead')
    directory = config_dir()
    found = list_configs(directory) if parser.parse_args(argv).list else [directory]
    try:
        print('\n'.join(map(str, found)), flush=True)
    except BrokenPipeError:  # `--list | head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # flushed at exit, too


if __name__ == '__main__':
    main()
