"""What several test files need: parity fixtures and small networks."""

import functools
import importlib.util
import json
import os
import runpy
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = Path(__file__).resolve().parent / 'data' / 'parity'
SHARED = ROOT.parent / 'shared' / 'parity'

# Versions of the maintained forks, and what pip is given to replace or install the stack
FORKS = dict(mmengine='0.10.12', mmcv='2.3.6', mmseg='1.4.2')
UNINSTALL = (
    'pip uninstall -y mmcv mmcv-lite mmengine mmsegmentation '
    'onedl-mmcv onedl-mmengine onedl-mmsegmentation'
)
INSTALL = 'pip install "onedl-mmcv>=2.3.6" "onedl-mmengine>=0.10.12" "onedl-mmsegmentation>=1.4.2"'


def load_script(path: str) -> ModuleType:
    """Import a script of the repository, given relative to its root, as a module."""
    name = path.replace('/', '_').removesuffix('.py')
    spec = importlib.util.spec_from_file_location(name, ROOT / path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def run_tool(monkeypatch: pytest.MonkeyPatch, path: Path, *arguments: object) -> int | str | None:
    """Run a script in this process, which is seconds faster than in a new one; its exit status."""
    with monkeypatch.context() as patch:
        patch.setattr(sys, 'argv', [str(path), *map(str, arguments)])
        patch.syspath_prepend(str(path.parent))  # as Python does
        try:
            runpy.run_path(str(path), run_name='__main__')
        except SystemExit as stop:
            return stop.code
    return None


FULL = os.environ.get('CONDSEG_MMSEG_TESTS') == 'full'


def some_of(count: int, every: int) -> range:
    """Each of ``count`` cases where CONDSEG_MMSEG_TESTS is 'full', else some of them."""
    return range(0, count, 1 if FULL else every)


def figure(name: str, value: str) -> None:
    """Keep what a test measured, where ``tools/dev/promises.py`` asks for it."""
    if path := os.environ.get('CONDSEG_MMSEG_FIGURES'):
        with open(path, 'a') as file:
            file.write(json.dumps([name, value]) + '\n')


fill = load_script('tests/data/parity/fill.py')


def fixture(name: str) -> dict[str, np.ndarray]:
    """Read a parity fixture from the shipped set, else from ../shared, else skip."""
    for folder in (SHIPPED, SHARED):
        if (folder / name).is_file():
            with np.load(folder / name, allow_pickle=False) as data:
                return dict(data)
    pytest.skip(f'{name} is not in the shipped reduced set, and ../shared/parity is absent')


def reference_state(keys_file: str, seed: int) -> dict[str, Tensor]:
    """Make the state dict of the published network that the fixtures were computed with."""
    return dict(_reference_state(keys_file, seed))


@functools.cache
def _reference_state(keys_file: str, seed: int) -> dict[str, Tensor]:
    folder = SHIPPED if (SHIPPED / keys_file).is_file() else SHARED
    keys = json.loads((folder / keys_file).read_text())
    return {k: torch.from_numpy(np.asarray(fill.fill(seed, k, tuple(s)))) for k, s in keys.items()}


def assert_close(actual: Tensor, expected: np.ndarray, relative: float, what: str = '') -> None:
    """Compare within ``relative`` of the largest expected magnitude."""
    expected = torch.from_numpy(np.asarray(expected)).double()
    actual = actual.detach().double()
    assert actual.shape == expected.shape, f'{what}: {actual.shape} != {expected.shape}'
    bound = relative * expected.abs().max().clamp(min=1e-12)
    error = (actual - expected).abs().max()
    assert error <= bound, f'{what}: largest error {error:.3g} exceeds {bound:.3g}'


def mask_sample(mask: np.ndarray, **more) -> dict:
    """Make the results dict of a pipeline in which a mask has been loaded."""
    shape = mask.shape[:2]
    return dict(
        gt_seg_map=mask, ori_shape=shape, img_shape=shape, seg_map_path='mask.png',
        seg_fields=['gt_seg_map'],
    ) | more  # fmt: skip


def mask_file(folder: Path, mask: np.ndarray, **more) -> dict:
    """Write a mask, and make the results dict of a pipeline that has loaded its image."""
    Image.fromarray(mask).save(folder / 'mask.png')
    shape, path = mask.shape[:2], str(folder / 'mask.png')
    return dict(ori_shape=shape, img_shape=shape, seg_map_path=path, seg_fields=[]) | more


def blob(height: int = 37, width: int = 53) -> np.ndarray:
    yy, xx = np.mgrid[:height, :width]
    inside = ((yy - 17) / 11) ** 2 + ((xx - 21) / 14) ** 2 <= 1
    return (255 * inside).astype(np.uint8)
