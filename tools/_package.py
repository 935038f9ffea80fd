"""How the scripts beside this file call the installed package."""

import sys


def condseg(*words: str) -> int:
    """Run ``condseg`` with these words before the arguments of this process."""
    _check()
    from condseg_mmseg.cli import main

    return main([*words, *sys.argv[1:]])


def mmseg_script(name: str) -> None:
    """Run a script of the installed mmseg with the arguments of this process."""
    _check()
    from condseg_mmseg.utils.errors import UserError
    from condseg_mmseg.utils.mmseg_scripts import run_script, translate_fuse

    try:
        run_script(name, translate_fuse(sys.argv[1:]) if name == 'test.py' else None)
    except UserError as error:
        sys.exit(f'error: {error}')


def list_mmseg_scripts() -> list[str]:
    """Names for :func:`mmseg_script`."""
    _check()
    from condseg_mmseg.utils.mmseg_scripts import tools_dirs

    scripts = {path.relative_to(folder) for folder in tools_dirs() for path in folder.rglob('*.py')}
    return sorted(map(str, scripts))


def _check() -> None:
    try:
        import condseg_mmseg  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name != 'condseg_mmseg':
            raise
        sys.exit(
            f'condseg_mmseg is not installed in this Python ({sys.executable}); run '
            '`make install`, or pip install "condseg-mmseg[onedl]"'
        )
