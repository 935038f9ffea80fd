"""What every test may ask for: fixed seeds, two threads, and the data that lie outside."""

import gc
import os
import random
from pathlib import Path

# Before torch is imported: threads that wait by spinning stall tests where the cores are shared.
os.environ.setdefault('OMP_WAIT_POLICY', 'passive')

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope='session', autouse=True)
def _two_threads():
    torch.set_num_threads(2)


@pytest.fixture(scope='session', autouse=True)
def _imported_objects_stay():
    """mmengine calls gc.collect for every data set that it builds: half a second without this."""
    gc.freeze()


@pytest.fixture(autouse=True)
def _fixed_seeds():
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - mmcv's and mmseg's transforms draw from the global generator
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _mmseg_scope():
    """Look types up in mmseg's registries, whatever scope an earlier test's runner left behind."""
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


@pytest.fixture(scope='session')
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope='session')
def data_dir() -> Path:
    """The small fixtures that come with the repository."""
    return ROOT / 'tests' / 'data'


@pytest.fixture(scope='session')
def shared_dir() -> Path:
    """The folder with full parity fixtures and real images, which not every checkout has."""
    path = ROOT.parent / 'shared'
    if not path.is_dir():
        pytest.skip('needs the folder ../shared, which is not part of the repository')
    return path


@pytest.fixture(scope='session')
def parity_dir(shared_dir) -> Path:
    """Fixtures made with the published code."""
    return _existing(shared_dir / 'parity')


@pytest.fixture(scope='session')
def kvasir_dir(shared_dir) -> Path:
    """Kvasir-SEG."""
    return _existing(shared_dir / 'data' / 'kvasir-seg')


def _existing(path: Path) -> Path:
    if not path.is_dir():
        pytest.skip(f'needs {path.relative_to(ROOT.parent)} beside the repository')
    return path
