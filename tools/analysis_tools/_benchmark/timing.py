"""Times of several calls that alternate in one process."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import torch

SAMPLE_SECONDS = 0.02  # what is shorter is repeated until a sample takes about this long


def calibrate(calls: Mapping[str, Callable], device: str, least: float = SAMPLE_SECONDS) -> dict:
    """Find how often each call must run for a sample of ``least`` seconds.

    Args:
        calls: Name -> call.
        device: 'cpu' or a CUDA device.
        least: Seconds a sample. Default :data:`SAMPLE_SECONDS`.

    Returns:
        Name -> repetitions, 1 or more.
    """
    loops = {}
    for name, call in calls.items():
        count, spent = 1, _time(call, 1, device)  # a first call may pay for more than itself
        while spent < least / 4:
            count *= 2
            spent = _time(call, count, device)
        loops[name] = max(1, math.ceil(count * least / spent))
    return loops


def alternate(
    calls: Mapping[str, Callable],
    repeats: int,
    warmup: int,
    device: str,
    loops: Mapping[str, int] | None = None,
) -> dict[str, list[float]]:
    """Time every call in turn, so that a machine that slows down slows all of them.

    Args:
        calls: Name -> call.
        repeats: Timed rounds.
        warmup: Rounds before them.
        device: 'cpu' or a CUDA device.
        loops: Name -> runs in a row that one round times. Default None, one each.

    Returns:
        Name -> seconds of one run in each round.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for index in range(warmup + repeats):
        for name, call in calls.items():
            count = loops[name] if loops else 1
            spent = _time(call, count, device)
            if index >= warmup:
                seconds[name].append(spent / count)
    return seconds


def ratio(of: Sequence[float], to: Sequence[float]) -> float:
    """Median over the rounds of ``of / to``."""
    return statistics.median(a / b for a, b in zip(of, to, strict=True))


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """Least, median and largest of the rounds."""
    return {'min': min(seconds), 'median': statistics.median(seconds), 'max': max(seconds)}


def _time(call: Callable, count: int, device: str) -> float:
    _wait(device)
    start = time.perf_counter()
    for _ in range(count):
        call()
    _wait(device)
    return time.perf_counter() - start


def _wait(device: str) -> None:
    if device != 'cpu':
        torch.cuda.synchronize(device)
