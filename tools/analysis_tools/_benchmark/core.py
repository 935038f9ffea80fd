"""Measure variants of one computation against each other: time, peak memory, difference."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .memory import peak_bytes, peak_of_process
from .timing import alternate, calibrate, ratio, spread

Result = Tensor | dict[str, Tensor] | None
Call = Callable[[], Result]


def largest(args: argparse.Namespace, result: Result, baseline: Result) -> dict[str, float]:
    """Largest difference of a tensor's values, relative to the baseline's largest magnitude.

    Args:
        args: Of the command line, not needed here.
        result: A tensor, or several by name, of which the one that differs most counts; None says
            that there is nothing to compare.
        baseline: The same of the baseline.

    Returns:
        ``difference``, or nothing.
    """
    if result is None or baseline is None:
        return {}
    if isinstance(result, Tensor):
        result, baseline = {'': result}, {'': baseline}
    errors = (
        (tensor.double() - baseline[name].double()).abs().max()
        / baseline[name].double().abs().max().clamp(min=1e-30)
        for name, tensor in result.items()
    )
    return {'difference': max(error.item() for error in errors)}


@dataclass(frozen=True)
class Benchmark:
    """One sub-command.

    Args:
        summary: What is compared, for the help.
        passes: Arguments -> name of each pass -> what it runs, for the table.
        variants: All names, the baseline first.
        build: (args, pass, variant) -> the call to measure, which returns the result to compare.
            Called for each variant after the same seeding.
        add_arguments: Adds the sub-command's own arguments.
        wanted: (args, variant) -> whether it runs where ``--only`` names none. Default all.
        why_not: (args, pass, variant) -> why it is left out there, or None.
        compare: (args, result, baseline's) -> differences by name.
        check: Arguments -> what is wrong with them, or None.
        with_memory: (args, pass, variant) -> whether its peak memory is worth a process of its own.
        finish: (args, record) -> what a sub-command adds to the record.
    """

    summary: str
    passes: Callable[[argparse.Namespace], dict[str, str]]
    variants: tuple[str, ...]
    build: Callable[[argparse.Namespace, str, str], Call]
    add_arguments: Callable[[argparse.ArgumentParser], None] = lambda parser: None
    wanted: Callable[[argparse.Namespace, str], bool] = lambda args, variant: True
    why_not: Callable[[argparse.Namespace, str, str], str | None] = lambda args, name, variant: None
    compare: Callable[[argparse.Namespace, Result, Result], dict[str, float]] = largest
    check: Callable[[argparse.Namespace], str | None] = lambda args: None
    with_memory: Callable[[argparse.Namespace, str, str], bool] = lambda args, name, variant: True
    finish: Callable[[argparse.Namespace, dict], None] = lambda args, record: None

    def make(self, args: argparse.Namespace, name: str, variant: str) -> Call:
        """Build one variant of one pass from seed 0, so that all have the same numbers."""
        torch.manual_seed(0)
        return self.build(args, name, variant)

    def chosen(self, args: argparse.Namespace) -> list[str]:
        """Names of the variants that the arguments ask for, the baseline first."""
        if args.only:
            return [variant for variant in self.variants if variant in args.only]
        return [variant for variant in self.variants if self.wanted(args, variant)]


def measure(bench: Benchmark, args: argparse.Namespace, command: Sequence[str]) -> dict:
    """Run every pass of a benchmark.

    Args:
        bench: The benchmark.
        args: Its arguments.
        command: Starts this benchmark anew with the same arguments; a fresh process tells the peak
            memory of one variant.

    Returns:
        ``variants`` and ``passes``: pass -> what :func:`measure_pass` returns, and what the
        benchmark adds.

    Raises:
        ChildError: A fresh process has failed.
    """
    record = {
        'variants': bench.chosen(args),
        'passes': {
            name: {'text': text} | measure_pass(bench, args, name, text, command)
            for name, text in bench.passes(args).items()
        },
    }
    bench.finish(args, record)
    return record


def measure_pass(
    bench: Benchmark, args: argparse.Namespace, name: str, text: str, command: Sequence[str]
) -> dict:
    """Measure the variants of one pass; the first that runs is the baseline.

    Args:
        bench: The benchmark.
        args: Its arguments.
        name: Of the pass.
        text: What it runs.
        command: As for :func:`measure`.

    Returns:
        ``baseline``: its name. By variant: ``seconds`` (``min``, ``median``, ``max`` of the
        rounds), ``speed_up`` (median of baseline's time / its time in the same round), ``peak_mib``
        (what a call adds), ``resident_mib`` (of the whole process; CPU), ``memory_saving``
        (baseline's / its), ``difference`` (by name), ``left_out`` (why). Ratios and differences
        are those of the others, not of the baseline itself.
    """
    names = bench.chosen(args)
    left_out = {v: why for v in names if (why := bench.why_not(args, name, v))}
    names = [v for v in names if v not in left_out]
    if not names:
        return {'baseline': None, 'left_out': left_out}
    first, *others = names
    peaks = {}
    if args.memory:
        peaks = {
            v: _peak(bench, args, command, name, v, text)
            for v in names
            if bench.with_memory(args, name, v)
        }
    calls, differences, expected = {}, {}, None
    for variant in names:
        calls[variant] = bench.make(args, name, variant)
        result = calls[variant]()
        if variant == first:
            expected = result
        elif found := bench.compare(args, result, expected):
            differences[variant] = found
        del result
    del expected
    loops = calibrate(calls, args.device)
    seconds = alternate(calls, args.repeats, args.warmup, args.device, loops)
    added = {v: peak['added'] / 2**20 for v, peak in peaks.items()}
    return {
        'baseline': first,
        'seconds': {v: spread(seconds[v]) for v in names},
        'speed_up': {v: ratio(seconds[first], seconds[v]) for v in others},
        'peak_mib': added,
        'resident_mib': {
            v: peak['resident'] / 2**20 for v, peak in peaks.items() if 'resident' in peak
        },
        'memory_saving': {
            v: added[first] / added[v] for v in others if first in added and added.get(v, 0) > 0
        },
        'difference': differences,
        'left_out': left_out,
    }


def _peak(
    bench: Benchmark,
    args: argparse.Namespace,
    command: Sequence[str],
    name: str,
    variant: str,
    text: str,
) -> dict[str, int]:
    if args.device != 'cpu':
        return peak_bytes(bench.make(args, name, variant), args.device)
    return peak_of_process([*command, '--peak', name, variant], f'{variant}, {text}')
