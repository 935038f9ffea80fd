"""Measure variants of one computation against each other: time, peak memory, difference."""

from __future__ import annotations

import argparse
import json
import resource
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

Call = Callable[[], Tensor]


class ChildError(RuntimeError):
    """The process that tells the peak memory has failed; the message says why in one line."""


@dataclass(frozen=True)
class Benchmark:
    """One sub-command.

    Args:
        summary: What is compared, for the help.
        passes: Name -> what it runs, for the help and the table.
        variants: Names; ratios are of each later one to the first.
        build: (args, pass, variant) -> the call to measure, which returns the result to compare.
            Called for each variant after the same seeding.
        add_arguments: Adds the sub-command's own arguments.
    """

    summary: str
    passes: dict[str, str]
    variants: tuple[str, ...]
    build: Callable[[argparse.Namespace, str, str], Call]
    add_arguments: Callable[[argparse.ArgumentParser], None] = lambda parser: None

    def make(self, args: argparse.Namespace, name: str, variant: str) -> Call:
        """Build one variant of one pass from seed 0, so that all have the same numbers."""
        torch.manual_seed(0)
        return self.build(args, name, variant)


def alternate(calls: dict[str, Call], repeats: int, warmup: int, device: str) -> dict[str, list]:
    """Time every call in turn, so that a machine that slows down slows all of them.

    Args:
        calls: Name -> call.
        repeats: Timed rounds.
        warmup: Rounds before them.
        device: 'cpu' or a CUDA device.

    Returns:
        Name -> seconds of each round.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for index in range(warmup + repeats):
        for name, call in calls.items():
            _wait(device)
            start = time.perf_counter()
            call()
            _wait(device)
            if index >= warmup:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def ratio(of: Sequence[float], to: Sequence[float]) -> float:
    """Median over the rounds of ``of / to``."""
    return statistics.median(a / b for a, b in zip(of, to, strict=True))


def peak_bytes(call: Call, device: str) -> int:
    """Memory that ``call`` adds to the peak, in bytes.

    On a GPU what torch allocates above what it held. On the CPU how far the peak resident memory of
    this process rises, which is only right in a process that has done nothing larger before.
    """
    if device != 'cpu':
        _wait(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        call()
        return torch.cuda.max_memory_allocated(device) - before
    before = _peak_resident()
    call()
    return _peak_resident() - before


def measure(bench: Benchmark, args: argparse.Namespace, command: Sequence[str]) -> dict:
    """Run every pass of a benchmark.

    Args:
        bench: The benchmark.
        args: Its arguments.
        command: Starts this benchmark anew with the same arguments; a fresh process tells the peak
            memory of one variant.

    Returns:
        Pass -> ``seconds`` (median) and ``peak_mib`` by variant, ``time_ratio`` and
        ``memory_ratio`` of each later variant to the first, and ``difference``: the largest
        difference of its result, relative to the first one's largest magnitude.

    Raises:
        ChildError: A fresh process has failed.
    """
    record = {}
    first, *others = bench.variants
    for name in bench.passes:
        peaks = {}
        if args.memory:
            peaks = {
                variant: _peak(bench, args, command, name, variant) for variant in bench.variants
            }
        calls = {variant: bench.make(args, name, variant) for variant in bench.variants}
        results = {variant: call().double() for variant, call in calls.items()}
        scale = results[first].abs().max().clamp(min=1e-30)
        seconds = alternate(calls, args.repeats, args.warmup, args.device)
        record[name] = {
            'seconds': {v: statistics.median(seconds[v]) for v in bench.variants},
            'time_ratio': {v: ratio(seconds[v], seconds[first]) for v in others},
            'peak_mib': {v: peak / 2**20 for v, peak in peaks.items()},
            'memory_ratio': {v: peaks[v] / peaks[first] for v in others if peaks.get(first, 0) > 0},
            'difference': {
                v: ((results[v] - results[first]).abs().max() / scale).item() for v in others
            },
        }
    return record


def table(bench: Benchmark, record: dict) -> str:
    """Markdown table of what :func:`measure` returns."""
    lines = [
        '| pass | variant | ms | time ratio | peak MiB | memory ratio | difference |',
        '|---|---|---|---|---|---|---|',
    ]
    for name, row in record.items():
        for variant in bench.variants:
            cells = [
                f'{1e3 * row["seconds"][variant]:.1f}',
                _cell(row['time_ratio'], variant, '.2f'),
                _cell(row['peak_mib'], variant, '.1f'),
                _cell(row['memory_ratio'], variant, '.2f'),
                _cell(row['difference'], variant, '.1e'),
            ]
            lines.append(f'| {bench.passes[name]} | {variant} | ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines)


def _cell(values: dict[str, float], variant: str, form: str) -> str:
    return format(values[variant], form) if variant in values else '-'


def _peak(
    bench: Benchmark, args: argparse.Namespace, command: Sequence[str], name: str, variant: str
) -> int:
    if args.device != 'cpu':
        return peak_bytes(bench.make(args, name, variant), args.device)
    done = subprocess.run(
        [*command, '--peak', name, variant], capture_output=True, text=True, errors='replace'
    )
    if done.returncode:
        said = done.stderr.strip().splitlines()  # of a traceback the last line is the error
        reason = said[-1].strip() if said else 'it printed nothing'
        if done.returncode < 0:  # killed: what it printed before does not tell why
            reason = f'{signal.Signals(-done.returncode).name}, out of memory?'
        raise ChildError(
            f'the peak memory of {variant}, {bench.passes[name]}, cannot be measured: its process '
            f'ended with status {done.returncode} ({reason})'
        )
    return int(json.loads(done.stdout.splitlines()[-1]))  # imports may print before


def _wait(device: str) -> None:
    if device != 'cpu':
        torch.cuda.synchronize(device)


def _peak_resident() -> int:
    # ru_maxrss of a child starts at the peak of its parent on Linux; VmHWM is the process's own
    status = Path('/proc/self/status')
    if status.is_file():
        for line in status.read_text().splitlines():
            if line.startswith('VmHWM:'):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == 'darwin' else peak * 1024
