"""A skip that nobody expects fails in CI; with workers, tests have the threads that they need."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers import ROOT, load_script

conftest = load_script('tests/conftest.py')


def outcome(reason, **more):
    report = SimpleNamespace(
        skipped=True, outcome='skipped', longrepr=('file.py', 3, f'Skipped: {reason}'), **more
    )
    return conftest._skipped_as_allowed(report).outcome


@pytest.mark.parametrize(
    ('reason', 'present', 'expected'),
    [
        ('needs CUDA', True, 'skipped'),
        ('no cc', True, 'failed'),
        ('neither the library nor a compiler', False, 'failed'),
        ('needs the extra "lite"', False, 'failed'),
        ('needs ../shared/parity beside the repository', True, 'failed'),
        ('needs ../shared/parity beside the repository', False, 'skipped'),
    ],
)
def test_skips_in_ci(monkeypatch, tmp_path, reason, present, expected):
    monkeypatch.setattr(conftest, 'SHARED', tmp_path if present else tmp_path / 'absent')
    monkeypatch.setenv('CONDSEG_MMSEG_CI', '1')
    assert outcome(reason) == expected
    assert outcome(reason, wasxfail='known') == 'skipped'
    monkeypatch.delenv('CONDSEG_MMSEG_CI')
    assert outcome(reason) == 'skipped'


def test_groups_and_threads(monkeypatch):
    found, threads = {}, []
    files = ('models/test_parity.py', 'ops/test_outlook.py', 'cli/test_main.py')
    for file in files:
        marks = []
        item = SimpleNamespace(
            path=Path(ROOT / 'tests' / file),
            add_marker=marks.append,
            get_closest_marker=lambda name, marks=marks: name in marks,
        )
        conftest.pytest_collection_modifyitems([item])
        found[file] = marks[-1].args[0]
        monkeypatch.setattr(conftest.torch, 'set_num_threads', threads.append)
        monkeypatch.setenv('PYTEST_XDIST_WORKER', 'gw0')
        conftest.pytest_runtest_setup(item)
    monkeypatch.delenv('PYTEST_XDIST_WORKER')
    conftest.pytest_runtest_setup(item)
    assert [found[file] for file in files] == ['two_threads', 'two_threads', files[2]]
    assert threads == [2, 2, 1, 2]
