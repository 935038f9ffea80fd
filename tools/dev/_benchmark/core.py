"""Measure variants of one computation against each other: time, peak memory, difference."""

from __future__ import annotations

import argparse
import ctypes
import json
import signal
import statistics
import subprocess
from collections.abc import Callable, Mapping, Sequence
from operator import truediv
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.benchmark import Timer

Result = Tensor | dict[str, Tensor] | None
Call = Callable[[], Result]
SAMPLE_SECONDS = 0.02  # what is shorter is repeated for about as long
MIN_SIDE = 32  # of an image; below it BatchNorm has a single value per channel to normalise
DTYPES = ('float32', 'bfloat16')


def positive(text: str) -> int:
    """Read a whole number of 1 or more."""
    return at_least(1, text)


def at_least(least: int, text: str) -> int:
    """Read a whole number of ``least`` or more."""
    if int(text) < least:
        raise argparse.ArgumentTypeError(f'must be {least} or more, got {text}')
    return int(text)


class Benchmark:
    """One sub-command. A subclass sets the attributes and says how a call is built.

    Attributes:
        summary: What is compared, for the help.
        variants: All names, the baseline first.
        batch: Default number of images; 0 where there are none.
    """

    summary = ''
    variants: tuple[str, ...] = ()
    batch = 0

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """Add the sub-command's own arguments."""
        if cls.batch:
            parser.add_argument(
                '--shape', type=lambda text: at_least(MIN_SIDE, text), nargs=2, action='append',
                metavar=('H', 'W'), help='size of the images in pixels, 256 256 if not given; may '
                'be given several times',
            )  # fmt: skip
            parser.add_argument('--batch', type=positive, default=cls.batch, help='images')

    def passes(self) -> dict[str, str]:
        """Name of each pass -> what it runs, for the table."""
        raise NotImplementedError

    def build(self, name: str, variant: str) -> Call:
        """Make the call to measure of one pass and variant, which returns what is compared."""
        raise NotImplementedError

    def wanted(self, variant: str) -> bool:
        """Whether a variant runs where ``--only`` names none."""
        return True

    def why_not(self, variant: str) -> str | None:
        """Say why a variant cannot run here, or None."""
        return None

    def compare(self, result: Result, baseline: Result) -> dict[str, float]:
        """Differences by name; empty where there is nothing to compare."""
        return largest(result, baseline)

    def with_memory(self, name: str, variant: str) -> bool:
        """Whether the peak memory of a pass is worth a process of its own."""
        return True

    def finish(self, record: dict[str, Any]) -> None:
        """Add to the record."""

    def make(self, name: str, variant: str) -> Call:
        """Build one variant of one pass from seed 0, so that all have the same numbers."""
        torch.manual_seed(0)
        return self.build(name, variant)

    def chosen(self) -> list[str]:
        """Names of the variants that the arguments ask for, the baseline first."""
        only = self.args.only
        return [v for v in self.variants if (v in only if only else self.wanted(v))]


def largest(result: Result, baseline: Result) -> dict[str, float]:
    """Largest ``difference`` of a tensor's values, relative to the baseline's largest magnitude.

    Of several tensors by name the one that differs most counts. Nothing for None.
    """
    if result is None or baseline is None:
        return {}
    ours, theirs = ({'': x} if isinstance(x, Tensor) else x for x in (result, baseline))
    errors = [
        (ours[name].double() - value.double()).abs().max()
        / value.double().abs().max().clamp(min=1e-30)
        for name, value in theirs.items()
    ]
    return {'difference': max(errors).item()}


def alternate(calls: Mapping[str, Call], repeats: int, warmup: int) -> dict[str, list[float]]:
    """Time every call in turn, so that a machine that slows down slows all of them.

    Returns:
        Name -> seconds of one call in each round after the warm-up, as ``torch.utils.benchmark``
        measures them.
    """
    threads = torch.get_num_threads()  # the Timer's own default is one
    timers = {
        name: Timer('call()', globals={'call': call}, num_threads=threads)
        for name, call in calls.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(warmup + repeats):
        for name, timer in timers.items():
            seconds[name].append(timer.blocked_autorange(min_run_time=SAMPLE_SECONDS).median)
    return {name: rounds[warmup:] for name, rounds in seconds.items()}


class ChildError(RuntimeError):
    """The process whose peak memory is measured has failed; the message says why in one line."""


def peak_bytes(call: Callable[[], object], device: str) -> dict[str, int]:
    """Memory in bytes that ``call`` adds to the peak.

    Returns:
        ``added``: on a GPU what torch allocates above what it held, on the CPU how far the peak
        resident memory of this process rises above what it holds; and on the CPU ``resident``, the
        peak of the whole process.
    """
    if device != 'cpu':
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        call()
        return {'added': torch.cuda.max_memory_allocated(device) - before}
    ctypes.CDLL(None).malloc_trim(0)  # gives freed memory back
    Path('/proc/self/clear_refs').write_text('5')  # the peak starts at what is held now
    before = _peak_resident()
    call()
    peak = _peak_resident()
    return {'added': peak - before, 'resident': peak}


def _peak_resident() -> int:
    # ru_maxrss of a child starts at the peak of its parent; VmHWM is the process's own
    lines = Path('/proc/self/status').read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith('VmHWM:')) * 1024


def peak_of_process(command: Sequence[str], what: str) -> dict[str, int]:
    """Run a command that prints what :func:`peak_bytes` returns, as JSON in its last line.

    Raises:
        ChildError: It has failed; ``what`` names whose memory it is.
    """
    done = subprocess.run(command, capture_output=True, text=True, errors='replace')
    if done.returncode:
        said = done.stderr.strip().splitlines()  # of a traceback the last line is the error
        reason = said[-1].strip() if said else 'it printed nothing'
        if done.returncode < 0:  # killed: what it printed before does not say why
            reason = f'{signal.Signals(-done.returncode).name}, out of memory?'
        raise ChildError(f'{what}: status {done.returncode} of its own process ({reason})')
    return json.loads(done.stdout.splitlines()[-1])  # imports may print before


def measure(bench: Benchmark, command: Sequence[str]) -> dict[str, Any]:
    """Run every pass of a benchmark; the peak memory of a variant is that of a fresh process.

    Args:
        bench: The benchmark.
        command: Starts it anew with the same arguments.

    Returns:
        ``variants`` and ``passes``: pass -> what :func:`measure_pass` returns.
    """
    passes = {
        name: {'text': text} | measure_pass(bench, name, text, command)
        for name, text in bench.passes().items()
    }
    record = {'variants': bench.chosen(), 'passes': passes}
    bench.finish(record)
    return record


def measure_pass(bench: Benchmark, name: str, text: str, command: Sequence[str]) -> dict[str, Any]:
    """Measure the variants of one pass; the first that runs is the baseline.

    Returns:
        ``baseline``: its name. By variant: ``seconds`` (``min``, ``median``, ``max`` of the
        rounds), ``speed_up`` (median of baseline's time / its time in the same round), ``peak_mib``
        (what a call adds), ``resident_mib`` (of the whole process; CPU), ``memory_saving``
        (baseline's / its), ``difference`` (by name), ``left_out`` (why). Ratios and differences
        are those of the others, not of the baseline itself.
    """
    args = bench.args
    left_out = {v: why for v in bench.chosen() if (why := bench.why_not(v))}
    names = [v for v in bench.chosen() if v not in left_out]
    if not names:
        return {'baseline': None, 'left_out': left_out}
    first, *others = names
    peaks = {
        v: peak_of_process([*command, '--peak', name, v], f'{v}, {text}')
        if args.device == 'cpu'
        else peak_bytes(bench.make(name, v), args.device)
        for v in names
        if args.memory and bench.with_memory(name, v)
    }
    calls, differences, expected = {}, {}, None
    for variant in names:
        calls[variant] = bench.make(name, variant)
        result = calls[variant]()
        if variant == first:
            expected = result
        elif found := bench.compare(result, expected):
            differences[variant] = found
        del result
    del expected
    seconds = alternate(calls, args.repeats, args.warmup)
    added = {v: peak['added'] / 2**20 for v, peak in peaks.items()}
    return {
        'baseline': first,
        'seconds': {
            v: {'min': min(s), 'median': statistics.median(s), 'max': max(s)}
            for v, s in seconds.items()
        },
        'speed_up': {
            v: statistics.median(map(truediv, seconds[first], seconds[v])) for v in others
        },
        'peak_mib': added,
        'resident_mib': {v: p['resident'] / 2**20 for v, p in peaks.items() if 'resident' in p},
        'memory_saving': {
            v: added[first] / added[v] for v in others if first in added and added.get(v, 0) > 0
        },
        'difference': differences,
        'left_out': left_out,
    }
