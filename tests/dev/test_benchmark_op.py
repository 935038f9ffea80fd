"""benchmark.py op: the backends agree, bytes and growth are counted right."""

import json
import re
import sys

import pytest
import torch
from helpers import ROOT, load_script

from condseg_mmseg.ops import can_run

SMALL = ['op', '--channels', '8', '--num-heads', '2', '--repeats', '2', '--warmup', '1']


@pytest.fixture(scope='module')
def benchmark():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / 'tools' / 'analysis_tools')
        yield load_script('tools/analysis_tools/benchmark.py')


@pytest.fixture
def aggregation(benchmark):
    return sys.modules['_benchmark.aggregation']


def run(benchmark, path, *options):
    benchmark.main([*SMALL, '--no-memory', '--json', str(path), *options])
    return json.loads(path.read_text())


def test_bytes_that_must_move(aggregation):
    # issue: 76 MB in the first row of its table, C = 128, 4 heads, float32
    case = aggregation.Case(2, 128, 128, 3)
    forward = case.bytes_to_move(128, 4, 'float32', 'forward')
    assert forward == 4 * 2 * 128 * 128 * (128 + 4 * 81 + 128) == 76_021_760
    # gradients of the result, of the values and of the logits
    assert case.bytes_to_move(128, 4, 'float32', 'both') == 2 * forward
    assert case.bytes_to_move(128, 4, 'bfloat16', 'both') == forward


def test_bandwidth_is_of_bytes_read_and_written(aggregation, monkeypatch):
    clock = iter([0.0, 2.0, 10.0, 11.0])
    monkeypatch.setattr(aggregation.time, 'perf_counter', lambda: next(clock))
    assert aggregation.copy_bandwidth('cpu', megabytes=1, repeats=2) == 2e6  # the faster one: 1 s


def test_the_backends_agree(benchmark, tmp_path, capsys):
    cases = ['--case', '2', '5', '7', '3', '--case', '1', '4', '4', '5']
    record = run(benchmark, tmp_path / 'op.json', *cases)
    assert list(record['passes']) == [
        '2x5x7-k3-forward', '2x5x7-k3-both', '1x4x4-k5-forward', '1x4x4-k5-both',
    ]  # fmt: skip
    for row in record['passes'].values():
        assert row['baseline'] == 'reference'
        others = {'fast', 'native', 'auto'} - set(row['left_out'])
        assert set(row['difference']) == set(row['speed_up']) == others
        assert all(0 <= x['difference'] < 1e-5 for x in row['difference'].values())
        auto = row['seconds']['auto']['median']
        assert row['times_bound']['auto'] == pytest.approx(
            auto * record['bandwidth'] / row['bytes']
        )
    printed = capsys.readouterr().out
    assert re.search(r'^\| 2 x 5 x 7, k = 3 \| forward \+ backward \| [\d.]+ \|', printed, re.M)


def test_gradients_are_compared_not_only_results(benchmark, monkeypatch):
    op, aggregation = sys.modules['_benchmark.op'], sys.modules['_benchmark.aggregation']
    args = benchmark.make_parser().parse_args([*SMALL, '--case', '1', '5', '5', '3'])
    call = op.BENCHMARK.make(args, '1x5x5-k3-both', 'reference')
    right = call()
    assert set(right) == {'result', 'values', 'logits'}
    grad = torch.autograd.grad

    def scaled(*inputs):
        grad_values, grad_logits = grad(*inputs)
        return grad_values, 1.5 * grad_logits

    monkeypatch.setattr(aggregation.torch.autograd, 'grad', scaled)
    assert op.BENCHMARK.compare(None, call(), right)['difference'] == pytest.approx(0.5)


def test_bfloat16_and_a_form_that_is_not_there(benchmark, tmp_path, monkeypatch):
    op = sys.modules['_benchmark.op']

    dtypes = set()

    def refuse(backend, *tensors):
        dtypes.add(tensors[0].dtype)
        return 'no compiler' if backend == 'native' else can_run(backend, *tensors)

    monkeypatch.setattr(op, 'can_run', refuse)
    record = run(
        benchmark, tmp_path / 'op.json', '--case', '1', '5', '5', '3', '--dtype', 'bfloat16'
    )
    assert torch.bfloat16 in dtypes  # the backends are asked about the tensors of the run
    for row in record['passes'].values():
        assert row['left_out'] == {'native': 'no compiler'}
        assert 'native' not in row['seconds']
        assert row['difference']['fast']['difference'] < 0.05
    assert op.table(record).endswith('\n\nWithout native: no compiler.')


def test_growth_counts_time_a_pixel_relative_to_the_first_case(benchmark):
    growth = sys.modules['_benchmark.growth']
    sizes = {'1x64x64-k3': 1.0, '1x128x128-k3': 2.0}  # of the first: 4 times the pixels
    seconds = {name: {'median': 4096e-9} for name in growth.CASES}
    speed_up = {name: 1 / sizes.get(name, 1.0) for name in growth.CASES if name != '1x64x64-k3'}
    row = {'text': 'forward', 'seconds': seconds, 'speed_up': speed_up, 'peak_mib': {}}
    record = {'passes': {'forward': row}}
    growth.finish(None, record)
    assert row['ns_per_pixel']['1x64x64-k3'] == pytest.approx(1.0)
    assert row['per_pixel']['1x128x128-k3'] == pytest.approx(0.5)  # twice the time, 4 x the pixels
    assert row['per_pixel']['1x64x64-k7'] == pytest.approx(1.0)
    # of size: 1, 0.5, 1/16 and 1/64 of the first
    assert row['spread']['size'] == pytest.approx(64.0)
    assert '| forward | 1 x 128 x 128, k = 3 | 0.004 | 0.2 | 0.50 | - |' in growth.table(record)


def test_growth_runs_its_cases(benchmark, tmp_path, monkeypatch):
    growth, aggregation = sys.modules['_benchmark.growth'], sys.modules['_benchmark.aggregation']
    cases = {
        name: aggregation.Case(c.batch, 4, 4, c.kernel_size) for name, c in growth.CASES.items()
    }
    monkeypatch.setattr(growth, 'CASES', cases)
    record = run(benchmark, tmp_path / 'growth.json', '--growth')
    assert list(record['passes']) == ['forward', 'both']
    assert set(record['passes']['both']['seconds']) == set(cases)
    assert len(cases) == 10


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--case', '1', '8', '8', '2'], '--case: K must be odd, got 2'),
        (['--case', '0', '8', '8', '3'], '--case: must be 1 or more, got 0'),
        (['--num-heads', '3'], '--num-heads must divide the 8 --channels, got 3'),
        (['--growth', '--case', '1', '8', '8', '3'], 'leave --case out'),
        (['--growth', '--only', 'auto'], 'leave --only out'),
    ],
)
def test_wrong_options_are_named(benchmark, capsys, options, message):
    with pytest.raises(SystemExit) as stopped:
        benchmark.main([*SMALL, *options])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_the_environment_tells_whether_the_c_form_ran(benchmark, tmp_path, monkeypatch):
    op = sys.modules['_benchmark.op']
    options = ['--case', '1', '5', '5', '3', '--only', 'reference']
    monkeypatch.setattr(op, 'can_run', lambda backend, *tensors: None)
    assert run(benchmark, tmp_path / 'a.json', *options)['environment']['native'] == 'yes'

    def broken(backend, *tensors):
        return f'{op.Path.home()}/x.so is broken' if backend == 'native' else None

    monkeypatch.setattr(op, 'can_run', broken)
    record = run(benchmark, tmp_path / 'b.json', *options)
    assert record['environment']['native'] == 'no: ~/x.so is broken'
