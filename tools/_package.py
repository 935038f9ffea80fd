"""How the scripts beside this file call the installed package."""

import sys

try:
    from condseg_mmseg.cli import main
    from condseg_mmseg.utils.errors import UserError
    from condseg_mmseg.utils.mmseg_scripts import run_script, tools_dirs, translate_fuse
except ModuleNotFoundError as error:
    if error.name != 'condseg_mmseg':
        raise
    sys.exit(
        f'condseg_mmseg is not installed in this Python ({sys.executable}); run '
        '`make install`, or pip install "condseg-mmseg[onedl]"'
    )


def condseg(command: str) -> int:
    """Run a sub-command of ``condseg`` with the arguments of this process."""
    return main([command, *sys.argv[1:]])


def mmseg_script(name: str) -> None:
    """Run a script of the installed mmseg with the arguments of this process."""
    try:
        run_script(name, translate_fuse(sys.argv[1:]) if name == 'test.py' else None)
    except UserError as error:
        sys.exit(f'error: {error}')


def list_mmseg_scripts() -> list[str]:
    """Names for :func:`mmseg_script`."""
    scripts = {path.relative_to(folder) for folder in tools_dirs() for path in folder.rglob('*.py')}
    return sorted(map(str, scripts))
