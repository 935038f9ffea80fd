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


@pytest.fixture(scope='module')
def timing(benchmark):
    return sys.modules['_benchmark.timing']


def make_bench(core, results, **more):
    """A benchmark whose variants do nothing but return their results."""
    return core.Benchmark(
        '', lambda args: {'p': 'the pass'}, tuple(results), lambda a, p, v: lambda: results[v],
        **more,
    )  # fmt: skip


@pytest.fixture
def args(benchmark):
    return benchmark.make_parser().parse_args([*TINY, '--no-memory'])


def test_variants_alternate_and_warm_up_is_not_counted(timing):
    seen = []
    calls = {name: lambda name=name: seen.append(name) for name in 'ab'}
    seconds = timing.alternate(calls, repeats=3, warmup=2, device='cpu')
    assert seen == list('ababababab')
    assert {name: len(times) for name, times in seconds.items()} == {'a': 3, 'b': 3}


def test_a_round_repeats_short_calls_and_counts_one(timing, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(timing.time, 'perf_counter', lambda: clock[0])

    def call(seconds):
        clock[0] += seconds

    calls = {'short': lambda: call(0.001), 'long': lambda: call(0.5)}
    loops = timing.calibrate(calls, 'cpu', least=0.02)
    assert loops == {'short': 20, 'long': 1}
    seconds = timing.alternate(calls, 2, 1, 'cpu', loops)
    assert seconds['short'] == pytest.approx([0.001, 0.001])
    assert seconds['long'] == pytest.approx([0.5, 0.5])


def test_the_ratio_is_the_median_of_the_rounds(timing):
    # one slow round of both changes nothing
    assert timing.ratio([2.0, 90.0, 4.0], [1.0, 30.0, 4.0]) == 2.0
    assert timing.spread([3.0, 1.0, 9.0]) == {'min': 1.0, 'median': 3.0, 'max': 9.0}


def test_peak_memory_is_that_of_the_call():
    code = (
        'import torch; from _benchmark.memory import peak_bytes; '
        # what was held before and given back is not counted, nor does it hide what comes
        'torch.ones(128 * 2**20 // 4).sum(); held = torch.ones(2**20); '
        "peak = peak_bytes(lambda: torch.ones(64 * 2**20 // 4).sum(), 'cpu'); "
        "print(peak['added'], peak['resident'])"
    )
    done = subprocess.run(
        [sys.executable, '-c', code], cwd=TOOLS, capture_output=True, text=True, check=True
    )
    added, resident = (int(text) / 2**20 for text in done.stdout.split())
    assert 60 < added < 80
    assert added + 4 < resident


def test_the_first_variant_is_the_baseline_of_every_ratio(core, args, monkeypatch):
    seconds = {'one': [4.0, 8.0, 2.0], 'other': [1.0, 2.0, 2.0]}
    monkeypatch.setattr(core, 'calibrate', lambda calls, device: dict.fromkeys(calls, 1))
    monkeypatch.setattr(core, 'alternate', lambda *a: seconds)
    peaks = {'one': {'added': 6 * 2**20, 'resident': 2**30}, 'other': {'added': 2**21}}
    monkeypatch.setattr(core, '_peak', lambda b, a, c, name, variant, text: peaks[variant])
    args.memory = True
    record = core.measure(make_bench(core, dict.fromkeys(seconds)), args, [])
    assert record['variants'] == ['one', 'other']
    assert record['passes']['p'] == {
        'text': 'the pass',
        'baseline': 'one',
        'seconds': {
            'one': {'min': 2.0, 'median': 4.0, 'max': 8.0},
            'other': {'min': 1.0, 'median': 2.0, 'max': 2.0},
        },
        'speed_up': {'other': 4.0},
        'peak_mib': {'one': 6.0, 'other': 2.0},
        'resident_mib': {'one': 1024.0},
        'memory_saving': {'other': 3.0},
        'difference': {},
        'left_out': {},
    }


def test_a_variant_that_computes_something_else_shows(core, args):
    results = {'one': torch.tensor([1.0, 2.0]), 'other': torch.tensor([1.0, 2.5])}
    row = core.measure(make_bench(core, results), args, [])['passes']['p']
    assert row['difference'] == {'other': {'difference': 0.25}}
    # of several tensors the one that differs most, each relative to its own magnitude
    base = {'a': torch.tensor([100.0]), 'b': torch.tensor([1.0])}
    moved = {'a': torch.tensor([101.0]), 'b': torch.tensor([1.5])}
    assert core.largest(None, moved, base) == {'difference': 0.5}
    assert core.largest(None, None, base) == {}


def test_what_cannot_run_is_left_out_with_its_reason(core, args):
    results = {name: torch.ones(1) for name in ('one', 'two', 'three')}
    bench = make_bench(
        core, results, why_not=lambda a, p, v: 'it is broken' if v == 'one' else None
    )
    record = core.measure(bench, args, [])
    row = record['passes']['p']
    assert row['left_out'] == {'one': 'it is broken'}
    assert row['baseline'] == 'two'
    assert set(row['speed_up']) == {'three'}
    printed = sys.modules['_benchmark.tables'].table(record)
    assert re.search(r'^\| the pass \| one \| - \| - \| - \| - \| - \|$', printed, re.M)
    assert re.search(r'^\| the pass \| two \| [\d.]+ \| baseline \|', printed, re.M)
    assert printed.endswith('\n\nWithout one: it is broken.')


def test_channels_last_figures_stand_beside_the_others(benchmark):
    tables = sys.modules['_benchmark.tables']
    seconds = {'literal': 4e-3, 'ours': 2e-3, 'ours-cl': 1e-3, 'alone-cl': 8e-3}
    row = {
        'text': 'p', 'baseline': 'literal', 'peak_mib': {'ours': 3.0, 'ours-cl': 2.0},
        'seconds': {name: {'median': value} for name, value in seconds.items()},
        'speed_up': {'ours': 2.0, 'ours-cl': 4.0, 'alone-cl': 0.5}, 'memory_saving': {},
        'difference': {'ours-cl': {'difference': 0.25}},
    }  # fmt: skip
    head, _, *rows = tables.table({'variants': list(seconds), 'passes': {'p': row}}).splitlines()
    assert head.startswith('| pass | variant | ms | ms, channels-last | speed-up | speed-up, chan')
    assert rows == [
        '| p | literal | 4.00 | - | baseline | - | - | - | - | - | - | - |',
        '| p | ours | 2.00 | 1.00 | 2.00 | 4.00 | 3.0 | 2.0 | - | - | - | 2.5e-01 |',
        '| p | alone | - | 8.00 | - | 0.50 | - | - | - | - | - | - |',
    ]


def test_both_variants_of_stage_1_are_one_function(benchmark, tmp_path, capsys):
    path = tmp_path / 'out.json'
    benchmark.main([*TINY, '--no-memory', '--json', str(path)])
    result = json.loads(path.read_text())
    assert set(result['passes']) == {'forward-32x48', 'training-32x48'}
    for row in result['passes'].values():
        assert set(row['seconds']) == {'ours', 'literal'}
        assert row['baseline'] == 'literal'
        assert row['speed_up']['ours'] > 0
        assert 0 <= row['difference']['ours']['difference'] < 1e-5
        assert row['peak_mib'] == {}
    assert result['settings']['shape'] == [[32, 48]]
    assert result['environment']['threads'] == torch.get_num_threads()
    assert {'machine', 'date', 'torch', 'commit'} <= set(result['environment'])
    assert result['command'] == (
        f'python tools/analysis_tools/benchmark.py {" ".join(TINY)} --no-memory --json {path}'
    )
    printed = capsys.readouterr().out
    assert re.search(
        r'^\| forward, eval, 32 x 48 \| ours \| [\d.]+ \| [\d.]+ \| - \| - \|', printed, re.M
    )


@pytest.mark.slow
def test_it_runs_anywhere_and_our_order_needs_less_memory(tmp_path):
    command = [sys.executable, str(TOOLS / 'benchmark.py'), 'stage1', '--shape', '96', '96']
    options = ['--repeats', '1', '--warmup', '1', '--threads', '1', '--json', 'out.json']
    subprocess.run([*command, *options], cwd=tmp_path, check=True, capture_output=True)
    passes = json.loads((tmp_path / 'out.json').read_text())['passes']
    for row in passes.values():
        assert row['memory_saving']['ours'] > 1.5
        assert 1 < row['peak_mib']['ours'] < row['peak_mib']['literal']
        assert row['peak_mib']['ours'] < row['resident_mib']['ours']


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--repeats', '0'], 'must be 1 or more, got 0'),
        (['--shape', '10', '40'], '--shape: must be 32 or more, got 10'),
        (['--device', 'tpu'], '--device must be cpu, or cuda .*, got tpu'),
        (['--json', 'no/such/file.json'], 'folder of --json no/such/file.json does not exist'),
        (['--only', 'theirs'], "--only: invalid choice: 'theirs'"),
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
    memory = sys.modules['_benchmark.memory']
    run = memory.subprocess.run
    child = [sys.executable, '-c', code]
    monkeypatch.setattr(
        memory.subprocess,
        'run',
        lambda command, **k: run(child if '--peak' in command else command, **k),
    )
    with pytest.raises(SystemExit) as stopped:
        benchmark.main(TINY)
    assert stopped.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(rf'error: the peak memory of literal, forward, eval, .*{reason}$', line)
