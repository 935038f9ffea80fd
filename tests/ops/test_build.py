"""Building the library on first use: where it goes, and what happens where it cannot be built."""

import logging
import os
import shutil
import subprocess
import sys

import pytest
import torch

from condseg_mmseg.ops import build, native, outlook_aggregate

needs_compiler = pytest.mark.skipif(not shutil.which('cc'), reason='no cc')


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """As in a new process: an empty cache, nothing loaded, no settings."""
    for name in ('CC', native.SWITCH_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(build.CACHE_VARIABLE, str(tmp_path / 'cache'))
    native._load.cache_clear()
    yield tmp_path / 'cache'
    native._load.cache_clear()


def assert_falls_back(caplog, message):
    """One message at level info, the result of PyTorch's form, and an error if asked by name."""
    values, logits = torch.randn(1, 4, 13, 12), torch.randn(1, 162, 13, 12)
    with caplog.at_level(logging.INFO, 'condseg_mmseg'):
        results = [outlook_aggregate(values, logits, 2, 3) for _ in range(2)]
    expected = outlook_aggregate(values, logits, 2, 3, backend='reference')
    torch.testing.assert_close(results[0], expected, rtol=0, atol=2e-6)
    assert message in native.unavailable()
    with pytest.raises(ValueError, match="backend='native' cannot run here"):
        outlook_aggregate(values, logits, 2, 3, backend='native')
    return [record.getMessage() for record in caplog.records if record.name == 'condseg_mmseg']


def test_no_compiler_on_the_path(fresh, monkeypatch, caplog):
    monkeypatch.setenv('PATH', str(fresh))
    (line,) = assert_falls_back(caplog, 'no C compiler')
    assert line.startswith('the outlook aggregation runs in PyTorch, not in C: no C compiler')


@pytest.mark.parametrize('compiler', ['false', 'there-is-no-such-compiler --really', 'cc "open'])
def test_a_compiler_that_fails(fresh, monkeypatch, caplog, compiler):
    monkeypatch.setenv('CC', compiler)
    assert len(assert_falls_back(caplog, compiler.split()[0])) == 1


@needs_compiler
def test_a_source_that_does_not_compile(fresh, monkeypatch, caplog, tmp_path):
    (tmp_path / 'outlook.c').write_text('int f(')
    monkeypatch.setattr(build, 'SOURCES', tmp_path)
    shutil.rmtree(fresh, ignore_errors=True)
    fresh = tmp_path / 'elsewhere'
    monkeypatch.setenv(build.CACHE_VARIABLE, str(fresh))
    assert len(assert_falls_back(caplog, 'error')) == 1
    assert list(fresh.iterdir()) == []


@needs_compiler
def test_a_library_of_wrong_results_is_not_used(fresh, monkeypatch, caplog, tmp_path):
    source = tmp_path / 'source'
    shutil.copytree(build.SOURCES, source)
    text = (source / 'outlook.c').read_text()
    wrong = text.replace('ax - bx + k - 1', 'bx - ax + k - 1')  # in the backward only
    assert wrong != text
    (source / 'outlook.c').write_text(wrong)
    monkeypatch.setattr(build, 'SOURCES', source)
    assert len(assert_falls_back(caplog, 'fails its self-test')) == 1


def test_a_cache_folder_that_is_a_file(fresh, caplog):
    fresh.write_text('')
    assert len(assert_falls_back(caplog, 'no cache folder')) == 1


def test_a_cache_folder_others_may_write_to(fresh, caplog):
    fresh.mkdir()
    fresh.chmod(0o777)
    assert len(assert_falls_back(caplog, 'writable by you alone')) == 1


@needs_compiler
def test_a_full_or_read_only_cache_folder(fresh, monkeypatch, caplog):
    def refuse(*_, **__):
        raise PermissionError(13, 'Read-only file system')

    monkeypatch.setattr(build.tempfile, 'TemporaryDirectory', refuse)
    assert len(assert_falls_back(caplog, 'cannot write to the cache folder')) == 1


def test_the_switch(fresh, monkeypatch, caplog):
    monkeypatch.setenv(native.SWITCH_VARIABLE, '0')
    assert assert_falls_back(caplog, 'CONDSEG_MMSEG_NATIVE=0') == []
    assert not fresh.exists()


def test_where_the_cache_is(fresh, monkeypatch, tmp_path):
    assert build.cache_dir() == fresh
    assert fresh.stat().st_mode & 0o777 == 0o700
    monkeypatch.delenv(build.CACHE_VARIABLE)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'xdg'))
    assert build.cache_dir() == tmp_path / 'xdg' / 'condseg_mmseg'
    monkeypatch.delenv('XDG_CACHE_HOME')
    monkeypatch.setenv('HOME', str(tmp_path / 'home'))
    assert build.cache_dir() == tmp_path / 'home' / '.cache' / 'condseg_mmseg'


@pytest.mark.slow
@needs_compiler
def test_a_library_is_built_once_per_source_and_cpu(fresh, monkeypatch):
    path = build.library()
    first = path.stat().st_mtime_ns
    assert build.library() == path
    assert path.stat().st_mtime_ns == first
    macros = build._compiler()[1]
    monkeypatch.setattr(
        build, '_compiler', lambda: ([shutil.which('cc'), *build.FLAGS], macros + 'x')
    )
    assert build.library() != path  # another CPU, and without -march=native
    assert sorted(p.suffix for p in fresh.iterdir()) == ['.so', '.so']


@pytest.mark.slow
@needs_compiler
def test_processes_that_build_at_once(fresh, root):
    """Each gets a library that works; one is left, and nothing half-written."""
    code = (
        # the whole package would import mmseg, which takes its time
        'import sys, types; package = types.ModuleType("condseg_mmseg"); '
        f'package.__path__ = [{str(root / "condseg_mmseg")!r}]; '
        'sys.modules["condseg_mmseg"] = package; '
        'import torch; from condseg_mmseg.ops import native; reason = native.unavailable(); '
        'assert reason is None, reason; '
        'x = native.outlook_native(torch.ones(1, 1, 3, 3), torch.zeros(1, 81, 3, 3), 1, 3, 1.0); '
        'print(f"{x[0, 0, 1, 1].item():.4f}")'
    )
    options = {'stdout': subprocess.PIPE, 'stderr': subprocess.STDOUT, 'text': True}
    running = [
        subprocess.Popen([sys.executable, '-c', code], env=dict(os.environ), **options)
        for _ in range(3)
    ]
    assert [process.communicate()[0].strip() for process in running] == 3 * ['5.4444']
    assert [path.suffix for path in fresh.iterdir()] == ['.so']
