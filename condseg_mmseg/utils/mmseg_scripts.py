"""Finds and runs the scripts of the installed MMSegmentation, unchanged."""

from __future__ import annotations

import importlib.util
import runpy
import sys
from pathlib import Path


def mmseg_dir() -> Path:
    """Directory of the installed package, without importing it."""
    spec = importlib.util.find_spec('mmseg')
    if spec is None or spec.origin is None:
        raise SystemExit(
            'MMSegmentation is not installed in this Python '
            f'({sys.executable}); run `make install`, or pip install "condseg-mmseg[onedl]"'
        )
    return Path(spec.origin).resolve().parent


def tools_dirs(package: Path) -> list[Path]:
    """Where mmseg's scripts may lie: in its wheel, or in its checkout (editable installation)."""
    places = [package / '.mim' / 'tools']
    if (package.parent / 'configs' / '_base_').is_dir():  # not any ``tools`` in site-packages
        places.append(package.parent / 'tools')
    return places


def find_script(name: str, package: Path | None = None) -> Path:
    """Path of a script, given relative to mmseg's ``tools``, e.g. 'analysis_tools/get_flops.py'."""
    places = tools_dirs(mmseg_dir() if package is None else package)
    for place in places:
        if (place / name).is_file():
            return place / name
    raise SystemExit(
        f'the installed MMSegmentation has no tools/{name} (looked in '
        f'{", ".join(map(str, places))}); install it from a wheel, or from an up-to-date checkout'
    )


def run_script(name: str) -> None:
    """Runs a script of mmseg as if it had been called itself, with this process's arguments."""
    runpy.run_path(str(find_script(name)), run_name='__main__')
