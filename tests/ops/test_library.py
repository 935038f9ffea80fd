"""Loading the library: which variant runs, and what happens where it cannot be loaded."""

import ctypes
import hashlib
import itertools
import logging
import shutil
import subprocess
import sys

import pytest
import torch

from condseg_mmseg.ops import library, native, outlook_aggregate

needs_compiler = pytest.mark.skipif(not shutil.which('cc'), reason='no cc')
# the whole package would import mmseg, which takes its time
STUB = (
    'import sys, types; package = types.ModuleType("condseg_mmseg"); '
    'package.__path__ = [{!r}]; sys.modules["condseg_mmseg"] = package; '
)


@pytest.fixture
def fresh(monkeypatch):
    """As in a new process: nothing loaded, no settings."""
    monkeypatch.delenv(library.SWITCH_VARIABLE, raising=False)
    library.load.cache_clear()
    yield
    library.load.cache_clear()


@pytest.fixture
def lib():
    """The library, which takes its best variant again afterwards."""
    lib = library.load()
    assert isinstance(lib, ctypes.CDLL), lib
    yield lib
    library.choose_variant(lib)


def assert_falls_back(caplog, message):
    """The result of PyTorch's form, an error where asked by name; returns the warnings."""
    values, logits = torch.randn(1, 4, 13, 12), torch.randn(1, 162, 13, 12)
    with caplog.at_level(logging.DEBUG, 'condseg_mmseg'):
        results = [outlook_aggregate(values, logits, 2, 3) for _ in range(2)]
    expected = outlook_aggregate(values, logits, 2, 3, backend='reference')
    torch.testing.assert_close(results[0], expected, rtol=0, atol=2e-6)
    assert message in library.unavailable()
    with pytest.raises(ValueError, match="backend='native' cannot run here"):
        outlook_aggregate(values, logits, 2, 3, backend='native')
    records = [record for record in caplog.records if record.name == 'condseg_mmseg']
    assert {record.levelname for record in records} <= {'WARNING'}
    return [record.getMessage() for record in records]


def test_a_library_that_was_not_compiled(fresh, monkeypatch, tmp_path, caplog, root):
    monkeypatch.setattr(library, 'LIBRARY', tmp_path / '_outlook.so')
    (line,) = assert_falls_back(caplog, 'was not compiled when the package was installed')
    assert 'install a C compiler' in line
    assert line.endswith(
        f'pip install --force-reinstall --no-deps --no-cache-dir -e {root.resolve()}'
    )


def half(content):
    return content[: len(content) // 2]


def flipped(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@needs_compiler
@pytest.mark.parametrize('damage', [half, flipped, lambda content: b''])
def test_a_damaged_library_is_not_loaded(fresh, monkeypatch, tmp_path, caplog, damage):
    """To load half of one ends the process by SIGBUS, to run another bit perhaps by SIGILL."""
    broken = tmp_path / '_outlook.so'
    broken.write_bytes(damage(library.LIBRARY.read_bytes()))
    monkeypatch.setattr(library, 'LIBRARY', broken)
    monkeypatch.setattr(library.ctypes, 'CDLL', None)  # not even tried
    (line,) = assert_falls_back(caplog, f'{broken} is damaged')
    assert 'pip install --force-reinstall' in line


def test_a_library_of_another_kind_of_machine(fresh, monkeypatch, tmp_path, caplog):
    content = b'MZ' * 100
    foreign = tmp_path / '_outlook.so'
    foreign.write_bytes(content + hashlib.sha256(content).digest())
    monkeypatch.setattr(library, 'LIBRARY', foreign)
    assert len(assert_falls_back(caplog, 'invalid ELF header')) == 1


@needs_compiler
def test_a_library_of_wrong_results_is_not_used(fresh, monkeypatch, caplog):
    true = library._open()

    class Wrong:
        condseg_outlook_forward = true.condseg_outlook_forward
        condseg_outlook_variant = true.condseg_outlook_variant

        @staticmethod
        def condseg_outlook_backward(*args):
            true.condseg_outlook_backward(*args)
            ctypes.c_float.from_address(args[4]).value += 1  # the first gradient of the logits

    assert library._self_test(true)
    monkeypatch.setattr(library, '_open', Wrong)
    assert len(assert_falls_back(caplog, 'fails its self-test')) == 1


def test_the_switch_is_silent(fresh, monkeypatch, caplog):
    monkeypatch.setenv(library.SWITCH_VARIABLE, '0')
    assert assert_falls_back(caplog, 'CONDSEG_MMSEG_NATIVE=0') == []


@needs_compiler
def test_the_switch_names_a_variant(fresh, monkeypatch):
    chosen = []
    choose = library.choose_variant
    monkeypatch.setattr(library, 'choose_variant', lambda *args: chosen.append(choose(*args)))
    for value in ('baseline', '1'):
        monkeypatch.setenv(library.SWITCH_VARIABLE, value)
        library.load.cache_clear()
        assert library.unavailable() is None
    assert chosen[0] == 'baseline'
    lib = library.load()
    best = [x for x in library.VARIANTS if lib.condseg_outlook_variant(x.encode())]
    assert chosen[1] == best[-1]


@needs_compiler
def test_a_variant_that_is_not_there_is_named(fresh, monkeypatch):
    monkeypatch.setenv(library.SWITCH_VARIABLE, 'sse9')
    with pytest.raises(ValueError, match=r"must be one of \['baseline'.*\], got 'sse9'"):
        library.load()


@needs_compiler
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    'case',
    # N, C, H, W, heads, k: blocks of 8, 4 and 1 channels; whole and partial vectors of each width
    [(2, 26, 19, 33, 2, 3), (1, 9, 67, 48, 9, 3), (2, 24, 7, 7, 2, 5), (1, 6, 9, 17, 2, 7)],
)
def test_variants_agree(lib, case, dtype):
    """To the bit where both have FMA, else to float32's rounding."""
    n, c, h, w, heads, k = case
    values = torch.randn(n, c, h, w).to(dtype).requires_grad_()
    logits = torch.randn(n, heads * k**4, h, w).to(dtype).requires_grad_()
    upstream = torch.randn_like(values)
    results = {}
    for name in library.VARIANTS:
        try:
            assert library.choose_variant(lib, name) == name
        except ValueError:  # not of this CPU
            continue
        out = outlook_aggregate(values, logits, heads, k, backend='native')
        results[name] = (out, *torch.autograd.grad(out, (values, logits), upstream))
    baseline, *others = results.values()
    for a, b in itertools.pairwise(others):
        assert all(map(torch.equal, a, b))
    bound = 3e-6 if dtype == torch.float32 else 2**-7
    for other in others:
        for x, y in zip(baseline, other, strict=True):
            assert (x - y).abs().max() <= bound * y.abs().max()


@needs_compiler
def test_it_brings_no_openmp_of_its_own():
    code = f'import ctypes; ctypes.CDLL({str(library.LIBRARY)!r})'
    result = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, check=False
    )
    assert 'undefined symbol: GOMP_parallel' in result.stderr


@needs_compiler
def test_it_runs_on_the_threads_of_pytorch(root):
    code = STUB.format(str(root / 'condseg_mmseg')) + (
        'import os, torch; from condseg_mmseg.ops import outlook_aggregate; '
        'torch.set_num_threads(3); threads = lambda: len(os.listdir("/proc/self/task")); '
        'values, logits = torch.randn(1, 64, 96, 96), torch.randn(1, 81, 96, 96); '
        'before = threads(); '
        'outlook_aggregate(values, logits, 1, 3, backend="native"); between = threads(); '
        'torch.ones(1 << 20).exp_(); '
        'maps = open("/proc/self/maps").read().split("\\n"); '
        'runtimes = {line.split()[-1] for line in maps if "omp" in line.split("/")[-1]}; '
        'print(between - before, threads() - before, len(runtimes))'
    )
    result = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, check=False
    )
    assert result.stdout == '2 2 1\n', result.stdout + result.stderr


def test_where_the_library_is_not_there_the_operator_says_so(fresh, monkeypatch):
    monkeypatch.setenv(library.SWITCH_VARIABLE, '0')
    with pytest.raises(RuntimeError, match='is not there: it is switched off'):
        native.outlook_native(torch.ones(1, 1, 3, 3), torch.zeros(1, 81, 3, 3), 1, 3, 1.0)
