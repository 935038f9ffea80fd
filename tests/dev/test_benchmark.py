"""The benchmark: how ratios, memory and differences are measured, and its command line."""

import argparse
import json
import re
import subprocess
import sys
import time

import benchmark
import pytest
import torch
from _benchmark import core
from _benchmark.core import ChildError, peak_of_process
from _benchmark.tables import variants_table
from helpers import ROOT

SCRIPT = ROOT / 'tools' / 'dev' / 'benchmark.py'
TINY = ['stage1', '--shape', '32', '48', '--depth', '18', '--repeats', '1', '--warmup', '1']


class Returns(core.Benchmark):
    """Variants that return what they are given; 'broken' cannot run."""

    def __init__(self, results):
        super().__init__(
            argparse.Namespace(only=None, memory=False, device='cpu', repeats=3, warmup=1)
        )
        self.results, self.variants, self.calls = results, tuple(results), []

    def passes(self):
        return {'p': 'the pass'}

    def why_not(self, variant):
        return 'it is broken' if variant == 'broken' else None

    def build(self, name, variant):
        def call():
            self.calls.append(variant)
            return self.results[variant]

        return call


def test_variants_alternate():
    bench = Returns({'a': None, 'b': None})
    row = core.measure_pass(bench, 'p', '', [])
    rounds = re.findall('a+b+', ''.join(bench.calls[2:]))  # after a call of each for its result
    assert len(rounds) == 4  # with the warm-up
    assert row['speed_up'].keys() == {'b'}


def test_seconds_are_of_one_call_after_the_warm_up():
    one = torch.ones(1)
    calls = {'sleep': lambda: time.sleep(0.05), 'add': lambda: one + 1}
    seconds = core.alternate(calls, repeats=2, warmup=1)
    assert [len(times) for times in seconds.values()] == [2, 2]
    assert all(0.05 <= spent < 0.5 for spent in seconds['sleep'])
    assert all(spent < 0.005 for spent in seconds['add'])


def test_the_first_variant_is_the_baseline_of_every_ratio(monkeypatch):
    seconds = {'one': [4.0, 90.0, 2.0], 'other': [1.0, 30.0, 2.0]}
    monkeypatch.setattr(core, 'alternate', lambda *args: seconds)
    peaks = {'one': {'added': 6 * 2**20, 'resident': 2**30}, 'other': {'added': 2**21}}
    monkeypatch.setattr(core, 'peak_of_process', lambda command, what: peaks[command[-1]])
    bench = Returns(dict.fromkeys(seconds))
    bench.args.memory = True
    assert core.measure(bench, ['python']) == {
        'variants': ['one', 'other'],
        'passes': {
            'p': {
                'text': 'the pass',
                'baseline': 'one',
                'seconds': {
                    'one': {'min': 2.0, 'median': 4.0, 'max': 90.0},
                    'other': {'min': 1.0, 'median': 2.0, 'max': 30.0},
                },
                'speed_up': {'other': 3.0},  # of 4, 3 and 1
                'peak_mib': {'one': 6.0, 'other': 2.0},
                'resident_mib': {'one': 1024.0},
                'memory_saving': {'other': 3.0},
                'difference': {},
                'left_out': {},
            }
        },
    }


def test_a_variant_that_computes_something_else_shows():
    bench = Returns({'one': torch.tensor([1.0, 2.0]), 'other': torch.tensor([1.0, 2.5])})
    row = core.measure_pass(bench, 'p', '', [])
    assert row['difference'] == {'other': {'difference': 0.25}}
    # of several tensors the one that differs most, each relative to its own magnitude
    base = {'a': torch.tensor([100.0]), 'b': torch.tensor([1.0])}
    moved = {'a': torch.tensor([101.0]), 'b': torch.tensor([1.5])}
    assert core.largest(moved, base) == {'difference': 0.5}
    assert core.largest(None, None) == {}


def test_what_cannot_run_is_left_out_with_its_reason():
    record = core.measure(Returns({name: torch.ones(1) for name in ('broken', 'a', 'b')}), [])
    row = record['passes']['p']
    assert row['left_out'] == {'broken': 'it is broken'}
    assert row['baseline'] == 'a'
    assert set(row['speed_up']) == {'b'}
    printed = variants_table(record)
    assert '| the pass | broken | - | - | - | - | - |' in printed
    assert re.search(r'^\| the pass \| a \| [\d.]+ \| baseline \|', printed, re.M)
    assert printed.endswith('\n\nWithout broken: it is broken.')


def test_channels_last_figures_are_beside_the_others():
    seconds = {'literal': 4e-3, 'ours': 2e-3, 'ours-cl': 1e-3, 'alone-cl': 8e-3}
    row = {
        'text': 'p', 'baseline': 'literal', 'peak_mib': {'ours': 3.0, 'ours-cl': 2.0},
        'seconds': {name: {'median': value} for name, value in seconds.items()},
        'speed_up': {'ours': 2.0, 'ours-cl': 4.0, 'alone-cl': 0.5}, 'memory_saving': {},
        'difference': {'ours-cl': {'difference': 0.25}},
    }  # fmt: skip
    record = {'variants': list(seconds), 'passes': {'p': row}}
    head, _, *rows = variants_table(record).splitlines()
    assert head.startswith('| pass | variant | ms | ms, channels-last | speed-up | speed-up, chan')
    assert rows == [
        '| p | literal | 4.00 | - | baseline | - | - | - | - | - | - | - |',
        '| p | ours | 2.00 | 1.00 | 2.00 | 4.00 | 3.0 | 2.0 | - | - | - | 2.5e-01 |',
        '| p | alone | - | 8.00 | - | 0.50 | - | - | - | - | - | - |',
    ]


def test_peak_memory_is_that_of_the_call():
    code = (
        'import torch; from _benchmark.core import peak_bytes; '
        # what was held before and given back is not counted, nor does it hide what comes
        'torch.ones(128 * 2**20 // 4).sum(); held = torch.ones(2**20); '
        "peak = peak_bytes(lambda: torch.ones(64 * 2**20 // 4).sum(), 'cpu'); "
        "print(peak['added'], peak['resident'])"
    )
    done = subprocess.run(
        [sys.executable, '-c', code], cwd=SCRIPT.parent, capture_output=True, text=True, check=True
    )
    added, resident = (int(text) / 2**20 for text in done.stdout.split())
    assert 60 < added < 80
    assert added + 4 < resident


def test_both_variants_of_stage_1_are_one_function(tmp_path, capsys):
    path = tmp_path / 'out.json'
    assert benchmark.main([*TINY, '--no-memory', '--json', str(path)]) == 0
    result = json.loads(path.read_text())
    assert set(result['passes']) == {'forward-32x48', 'training-32x48'}
    for row in result['passes'].values():
        assert row['baseline'] == 'literal'
        assert set(row['seconds']) == {'ours', 'literal'}
        assert row['speed_up']['ours'] > 0
        assert 0 <= row['difference']['ours']['difference'] < 1e-5
        assert row['peak_mib'] == {}
    assert result['settings']['shape'] == [[32, 48]]
    machine = result['environment']['machine']
    assert machine['threads'] == torch.get_num_threads()
    assert 'name' not in machine  # of the host
    assert result['command'] == (
        f'python tools/dev/benchmark.py {" ".join(TINY)} --no-memory --json {path}'
    )
    assert '| forward, eval, 32 x 48 | ours |' in capsys.readouterr().out


@pytest.mark.slow
def test_it_runs_anywhere_and_our_order_needs_less_memory(tmp_path):
    command = [sys.executable, str(SCRIPT), 'stage1', '--shape', '96', '96', '--threads', '1']
    options = ['--repeats', '1', '--warmup', '1', '--json', 'out.json']
    subprocess.run([*command, *options], cwd=tmp_path, check=True, capture_output=True)
    for row in json.loads((tmp_path / 'out.json').read_text())['passes'].values():
        assert row['memory_saving']['ours'] > 1.5
        assert 1 < row['peak_mib']['ours'] < row['peak_mib']['literal']
        assert row['peak_mib']['ours'] < row['resident_mib']['ours']


@pytest.mark.parametrize(
    ('code', 'reason'),
    [
        ('raise RuntimeError("no room")', r'status 1 .*\(RuntimeError: no room\)'),
        ('import os; os.kill(os.getpid(), 9)', r'status -9 .*\(SIGKILL, out of memory\?\)'),
    ],
)
def test_a_process_that_fails_is_named_in_one_line(code, reason):
    with pytest.raises(ChildError, match=f'^ours, p: {reason}$'):
        peak_of_process([sys.executable, '-c', code], 'ours, p')


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ('stage1 --repeats 0', 'must be 1 or more, got 0'),
        ('stage1 --shape 10 40', 'must be 32 or more, got 10'),
        ('stage1 --device tpu', '--device tpu cannot be used'),
        ('stage1 --json .', '--json . is a folder'),
        ('stage1 --only theirs', "invalid choice: 'theirs'"),
        ('op --growth --case 1 8 8 3', 'leave --case and --only out'),
        ('model --config no.py', 'no.py is neither a file nor a shipped config'),
        ('model --config c.py --json c.py', '--json c.py would overwrite the input c.py'),
        ('model --config c.py', '--config c.py has no model'),
        ('model --checkpoint no.pth', 'there is no checkpoint no.pth in '),
        ('model --images no', '--images no holds 0 images, fewer than --batch 1'),
        ('train --config condseg-stage1_r18_1xb8-3e_demo-96x96', 'trains on two views'),
        ('data --config c.py', '--config c.py has no train_dataloader'),
        ('data --epochs 1', 'must be 2 or more, got 1'),
    ],
)
def test_wrong_options_are_named(tmp_path, monkeypatch, capsys, options, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'c.py').write_text('x = 1\n')
    try:
        status = benchmark.main(options.split())
    except SystemExit as stopped:  # argparse
        status = stopped.code
    assert status == 2
    assert message in capsys.readouterr().err
    assert (tmp_path / 'c.py').read_text() == 'x = 1\n'
