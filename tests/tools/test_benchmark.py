"""The benchmark: what is timed, what memory is, and that both variants are one function."""

import json
import re
import subprocess
import sys

import pytest
import torch
from helpers import ROOT, load_script

TOOLS = ROOT / 'tools' / 'analysis_tools'
TINY = ['stage1', '--shape', '32', '48', '--depth', '18', '--repeats', '2', '--warmup', '1']


@pytest.fixture(scope='module')
def benchmark():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(TOOLS)
        yield load_script('tools/analysis_tools/benchmark.py')


@pytest.fixture(scope='module')
def core(benchmark):
    return sys.modules['_benchmark.core']


def test_variants_alternate_and_warm_up_is_not_counted(core):
    seen = []
    calls = {name: lambda name=name: seen.append(name) for name in 'ab'}
    seconds = core.alternate(calls, repeats=3, warmup=2, device='cpu')
    assert seen == list('ababababab')
    assert {name: len(times) for name, times in seconds.items()} == {'a': 3, 'b': 3}


def test_the_ratio_is_the_median_of_the_rounds(core):
    # one slow round of both changes nothing
    assert core.ratio([2.0, 90.0, 4.0], [1.0, 30.0, 4.0]) == 2.0


def test_peak_memory_is_that_of_the_call():
    code = (
        'import torch; from _benchmark.core import peak_bytes; '
        "print(peak_bytes(lambda: torch.ones(64 * 2**20 // 4).sum(), 'cpu'))"
    )
    done = subprocess.run(
        [sys.executable, '-c', code], cwd=TOOLS, capture_output=True, text=True, check=True
    )
    assert 60 < int(done.stdout) / 2**20 < 80


def test_both_variants_of_stage_1_are_one_function(benchmark, tmp_path, capsys):
    benchmark.main([*TINY, '--no-memory', '--json', str(tmp_path / 'out.json')])
    result = json.loads((tmp_path / 'out.json').read_text())
    assert set(result['passes']) == {'forward', 'training'}
    for row in result['passes'].values():
        assert set(row['seconds']) == {'ours', 'literal'}
        assert row['time_ratio']['literal'] > 0
        assert 0 <= row['difference']['literal'] < 1e-5
        assert row['peak_mib'] == {}
    assert result['settings']['shape'] == [32, 48]
    assert result['environment']['threads'] == torch.get_num_threads()
    assert {'machine', 'date', 'torch', 'commit'} <= set(result['environment'])
    printed = capsys.readouterr().out
    assert re.search(
        r'^\| forward, eval \| literal \| [\d.]+ \| [\d.]+ \| - \| - \|', printed, re.M
    )


def test_a_variant_that_computes_something_else_shows(benchmark, core):
    calls = {'one': torch.tensor([1.0, 2.0]), 'other': torch.tensor([1.0, 2.5])}
    bench = core.Benchmark('', {'p': 'p'}, ('one', 'other'), lambda a, p, v: lambda: calls[v])
    args = benchmark.make_parser().parse_args([*TINY, '--no-memory'])
    assert core.measure(bench, args, [])['p']['difference'] == {'other': 0.25}


@pytest.mark.slow
def test_it_runs_anywhere_and_our_order_needs_less_memory(tmp_path):
    command = [sys.executable, str(TOOLS / 'benchmark.py'), 'stage1', '--shape', '96', '96']
    options = ['--repeats', '1', '--warmup', '1', '--threads', '1', '--json', 'out.json']
    subprocess.run([*command, *options], cwd=tmp_path, check=True, capture_output=True)
    passes = json.loads((tmp_path / 'out.json').read_text())['passes']
    for row in passes.values():
        assert row['memory_ratio']['literal'] > 1.5
        assert 1 < row['peak_mib']['ours'] < row['peak_mib']['literal']


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--repeats', '0'], 'must be 1 or more, got 0'),
        (['--shape', '10', '40'], '--shape: must be 32 or more, got 10'),
        (['--device', 'tpu'], '--device must be cpu, or cuda .*, got tpu'),
        (['--json', 'no/such/file.json'], 'folder of --json no/such/file.json does not exist'),
    ],
)
def test_wrong_options_are_named(benchmark, capsys, options, message):
    with pytest.raises(SystemExit) as stopped:
        benchmark.main(['stage1', *options])
    assert stopped.value.code == 2
    assert re.search(message, capsys.readouterr().err)


@pytest.mark.parametrize(
    ('code', 'reason'),
    [
        ('raise RuntimeError("no room")', r'status 1 \(RuntimeError: no room\)'),
        ('import os; os.kill(os.getpid(), 9)', r'status -9 \(SIGKILL, out of memory\?\)'),
    ],
)
def test_a_process_that_fails_is_told_in_one_line(benchmark, monkeypatch, capsys, code, reason):
    core = sys.modules['_benchmark.core']
    run = core.subprocess.run
    child = [sys.executable, '-c', code]
    monkeypatch.setattr(
        core.subprocess,
        'run',
        lambda command, **k: run(child if '--peak' in command else command, **k),
    )
    with pytest.raises(SystemExit) as stopped:
        benchmark.main(TINY)
    assert stopped.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(rf'error: the peak memory of ours, forward, eval, .*{reason}$', line)
