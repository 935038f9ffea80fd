"""A folder of the package imports folders on its own floor and below (CONTRIBUTING.md)."""

import ast
import importlib.util
from pathlib import Path

import pytest

PACKAGE = 'condseg_mmseg'
FLOORS = [
    {'ops', 'utils', 'configs', 'stack', 'version'},
    {'models', 'datasets', 'evaluation', 'engine'},
    {'preparation', 'doctor', 'visualization'},
    {'apis'},
    {'cli'},
    {'__init__', '__main__'},
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def imported(path: Path, root: Path) -> set[str]:
    """The folders and files at the top of the package that a file imports."""
    package = '.'.join([PACKAGE, *path.relative_to(root).parts[:-1]])
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            relative = '.' * node.level + (node.module or '')
            base = importlib.util.resolve_name(relative, package)
            names += [f'{base}.{alias.name}' for alias in node.names]
    return {name.split('.')[1] for name in names if name.startswith(f'{PACKAGE}.')} & FLOOR.keys()


def files(root: Path) -> list[Path]:
    return sorted((root / PACKAGE).rglob('*.py'))


def test_every_folder_has_a_floor(root):
    assert len(files(root)) > 100
    assert {
        path.relative_to(root / PACKAGE).parts[0].removesuffix('.py') for path in files(root)
    } == (FLOOR.keys())


def test_nothing_imports_a_higher_floor(root):
    found = [
        f'{path.relative_to(root)} imports {name}'
        for path in files(root)
        for name in imported(path, root / PACKAGE)
        if FLOOR[name] > FLOOR[path.relative_to(root / PACKAGE).parts[0].removesuffix('.py')]
    ]
    assert found == []


@pytest.mark.parametrize(
    ('line', 'name'),
    [
        ('from ..models import SIDHead', 'models'),
        ('from .. import apis', 'apis'),
        ('import condseg_mmseg.cli.train', 'cli'),
        ('def f():\n    from condseg_mmseg.engine import read_weights', 'engine'),
        ('from .mask_values import IGNORE', 'utils'),
    ],
)
def test_each_form_of_import_is_seen(tmp_path, line, name):
    path = tmp_path / 'utils' / 'file.py'
    path.parent.mkdir()
    path.write_text(line)
    assert imported(path, tmp_path) == {name}
