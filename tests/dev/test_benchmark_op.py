"""benchmark.py op: the backends agree, bytes and growth are counted right."""

import argparse
import json
import re

import benchmark
import pytest
import torch
from _benchmark import growth, op

from condseg_mmseg.ops import can_run

SMALL = ['op', '--channels', '8', '--num-heads', '2', '--repeats', '1', '--warmup', '1']


def run(path, *options):
    assert benchmark.main([*SMALL, '--no-memory', '--json', str(path), *options]) == 0
    return json.loads(path.read_text())


def test_bytes_that_must_move():
    # 76 MB for C = 128, 4 heads, float32
    case, args = op.Case(2, 128, 128, 3), argparse.Namespace(channels=128, num_heads=4)
    args.dtype = 'float32'
    forward = case.bytes_to_move(args, 'forward')
    assert forward == 4 * 2 * 128 * 128 * (128 + 4 * 81 + 128) == 76_021_760
    # gradients of the result, of the values and of the logits
    assert case.bytes_to_move(args, 'both') == 2 * forward
    args.dtype = 'bfloat16'
    assert case.bytes_to_move(args, 'both') == forward


def test_bandwidth_is_of_bytes_read_and_written():
    assert 2e8 < op.copy_bandwidth('cpu', megabytes=64) < 2e12


def test_the_backends_agree(tmp_path, capsys):
    record = run(tmp_path / 'op.json', '--case', '2', '5', '7', '3', '--case', '1', '4', '4', '5')
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


def test_gradients_are_compared_not_only_results():
    args = benchmark.make_parser().parse_args([*SMALL, '--case', '1', '5', '5', '3'])
    bench = op.Op(args)
    right = bench.make('1x5x5-k3-both', 'reference')()
    assert set(right) == {'result', 'values', 'logits'}
    wrong = right | {'logits': 1.5 * right['logits']}
    assert bench.compare(wrong, right)['difference'] == pytest.approx(0.5)


def test_bfloat16_and_a_form_that_is_not_there(tmp_path, monkeypatch):
    dtypes = set()

    def refuse(backend, *tensors):
        dtypes.add(tensors[0].dtype)
        home = f'{op.Path.home()}/x.so is broken'  # of which nothing is published
        return home if backend == 'native' else can_run(backend, *tensors)

    monkeypatch.setattr(op, 'can_run', refuse)
    options = ['--case', '1', '5', '5', '3', '--dtype', 'bfloat16']
    record = run(tmp_path / 'op.json', *options)
    assert torch.bfloat16 in dtypes  # the backends are asked about the tensors of the run
    for row in record['passes'].values():
        assert row['left_out'] == {'native': '~/x.so is broken'}
        assert 'native' not in row['seconds']
        assert row['difference']['fast']['difference'] < 0.05
    assert op.op_table(record).endswith('\n\nWithout native: ~/x.so is broken.')
    assert record['environment']['native'] == 'no: ~/x.so is broken'


def test_growth_counts_time_a_pixel_relative_to_the_first_case():
    sizes = {'1x64x64-k3': 1.0, '1x128x128-k3': 2.0}  # of the first: 4 times the pixels
    seconds = {name: {'median': 4096e-9} for name in growth.CASES}
    speed_up = {name: 1 / sizes.get(name, 1.0) for name in growth.CASES if name != '1x64x64-k3'}
    row = {'text': 'forward', 'seconds': seconds, 'speed_up': speed_up, 'peak_mib': {}}
    record = {'passes': {'forward': row}}
    growth.Growth(argparse.Namespace(case=None, only=None)).finish(record)
    assert row['ns_per_pixel']['1x64x64-k3'] == pytest.approx(1.0)
    assert row['per_pixel']['1x128x128-k3'] == pytest.approx(0.5)  # twice the time, 4 x the pixels
    assert row['per_pixel']['1x64x64-k7'] == pytest.approx(1.0)
    # of size: 1, 0.5, 1/16 and 1/64 of the first
    assert row['spread']['size'] == pytest.approx(64.0)
    assert '| forward | 1 x 128 x 128, k = 3 | 0.004 | 0.2 | 0.50 | - |' in (
        growth.growth_table(record)
    )


def test_growth_runs_its_cases(tmp_path, monkeypatch):
    small = {name: case._replace(height=4, width=4) for name, case in growth.CASES.items()}
    monkeypatch.setattr(growth, 'CASES', small)
    record = run(tmp_path / 'growth.json', '--growth')
    assert list(record['passes']) == ['forward', 'both']
    assert len(record['passes']['both']['seconds']) == 10
