"""What every test may ask for: fixed seeds, threads, and the data that lie outside.

With pytest-xdist (``-n 2 --dist loadgroup``) a worker computes with one thread, and the tests of a
file go to one worker. Those of ``TWO_THREADS`` are one group, one after the other with two threads.

Where ``CONDSEG_MMSEG_CI=1`` is set, a skip that is not in ``ALLOWED_SKIPS`` fails.
"""

import gc
import os
import random
from pathlib import Path

# Before torch is imported: threads that wait by spinning stall tests where the cores are shared.
os.environ.setdefault('OMP_WAIT_POLICY', 'passive')
# One thread a worker, in the processes that its tests start too.
os.environ.update({'OMP_NUM_THREADS': '1'} if 'PYTEST_XDIST_WORKER' in os.environ else {})

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / 'shared'

# Parity (the fixtures were computed with two threads), several processes, benchmarks.
TWO_THREADS = (
    'models/test_parity', 'docs/test_condseg_in_one_file', 'models/segmentors/test_consistency_ddp',
    'engine/test_strict_pretrained_ranks', 'apis/test_train', 'dev/test_benchmark', 'ops/test_',
    'models/test_memory_and_compile',
)  # fmt: skip
# Parts of reasons. A missing compiler, extra or fixture is none of them.
ALLOWED_SKIPS = ('needs CUDA', 'there is an accelerator', 'needs the second stack')


def pytest_collection_modifyitems(items):
    for item in items:
        file = item.path.relative_to(ROOT / 'tests').as_posix()
        if file.startswith(TWO_THREADS):
            item.add_marker('two_threads')
        group = 'two_threads' if item.get_closest_marker('two_threads') else file
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    alone = 'PYTEST_XDIST_WORKER' not in os.environ or item.get_closest_marker('two_threads')
    torch.set_num_threads(2 if alone else 1)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    return _skipped_as_allowed((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report():
    return _skipped_as_allowed((yield))


def _skipped_as_allowed(report):
    """Make a skip for another reason a failure, in CI."""
    if report.skipped and not hasattr(report, 'wasxfail') and os.getenv('CONDSEG_MMSEG_CI') == '1':
        reason = report.longrepr[2]
        if not any(allowed in reason for allowed in _allowed_skips()):
            report.outcome = 'failed'
            report.longrepr = (
                f'{reason}\nCONDSEG_MMSEG_CI=1 allows no such skip (tests/conftest.py)'
            )
    return report


def _allowed_skips():
    return ALLOWED_SKIPS if SHARED.is_dir() else (*ALLOWED_SKIPS, '../shared')


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
def shared_dir() -> Path:
    """The folder with full parity fixtures and real images, which not every checkout has."""
    if not SHARED.is_dir():
        pytest.skip('needs the folder ../shared, which is not part of the repository')
    return SHARED


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
        pytest.skip(f'needs ../{path.relative_to(ROOT.parent)} beside the repository')
    return path
