"""Finds and runs the scripts of the installed MMSegmentation, unchanged."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

import mmseg

from .cpu_processes import join_cpu_processes, leave_processes
from .errors import UserError

_MMSEG = Path(mmseg.__file__).resolve().parent


FUSE_FLAG = '--fuse-conv-bn'
FUSE_OPTION = 'default_hooks.fuse.type=FuseConvBNHook'


def tools_dirs(package: Path = _MMSEG) -> list[Path]:
    """Where mmseg's scripts may lie: in its wheel, or in its checkout (editable installation).

    Args:
        package: Folder of the package. Default: the installed one.
    """
    places = [package / '.mim' / 'tools']
    if (package.parent / 'configs' / '_base_').is_dir():  # not any ``tools`` in site-packages
        places.append(package.parent / 'tools')
    return places


def find_script(name: str, package: Path = _MMSEG) -> Path:
    """Path of a script of mmseg.

    Args:
        name: Relative to mmseg's ``tools``, such as ``'analysis_tools/get_flops.py'``.
        package: Folder of the package. Default: the installed one.

    Raises:
        UserError: It has no such script.
    """
    places = tools_dirs(package)
    for place in places:
        if (place / name).is_file():
            return place / name
    raise UserError(
        f'the installed MMSegmentation has no tools/{name} (looked in '
        f'{", ".join(map(str, places))}); install it from a wheel, or from an up-to-date checkout'
    )


def run_script(name: str, arguments: Sequence[str] | None = None) -> None:
    """Run a script of mmseg in this process, as if it had been called itself.

    On a machine without a GPU the processes of PyTorch's launcher share the CPU.

    Args:
        name: As of :func:`find_script`.
        arguments: Its arguments. Default None: those of this process.
    """
    script = str(find_script(name))
    given = list(sys.argv[1:] if arguments is None else arguments)
    sys.argv[:] = [script, *given, *join_cpu_processes(given)]
    runpy.run_path(script, run_name='__main__')
    leave_processes()


def translate_fuse(arguments: Sequence[str]) -> list[str]:
    """Replace ``--fuse-conv-bn``, which mmseg's ``test.py`` does not know, by its option.

    Args:
        arguments: Those of the command line. mmengine merges several ``--cfg-options``.
    """
    if FUSE_FLAG not in arguments:
        return list(arguments)
    return [arg for arg in arguments if arg != FUSE_FLAG] + ['--cfg-options', FUSE_OPTION]
