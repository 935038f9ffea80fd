"""How the time of CDFA's aggregation grows with the size of the map, the batch and the window.

The cases are the variants of one pass, so that they alternate like those of other benchmarks.
"""

from __future__ import annotations

import argparse

from .aggregation import DIRECTIONS, Case, make_call
from .core import Benchmark, Call
from .tables import markdown, milliseconds

BASE = Case(1, 64, 64, 3)
GROUPS = {
    'size': (Case(1, 128, 128, 3), Case(1, 256, 256, 3), Case(1, 512, 512, 3)),
    'batch': (Case(2, 64, 64, 3), Case(4, 64, 64, 3), Case(8, 64, 64, 3)),
    'window': (Case(1, 64, 64, 1), Case(1, 64, 64, 5), Case(1, 64, 64, 7)),
}
CASES = {case.name: case for case in (BASE, *(case for group in GROUPS.values() for case in group))}


def build(args: argparse.Namespace, name: str, variant: str) -> Call:
    """Build the call of a case; nothing to compare."""
    case = CASES[variant]
    tensors = case.tensors(args.channels, args.num_heads, args.dtype, args.device)
    call = make_call(tensors, args.num_heads, case.kernel_size, 'auto', name)

    def run() -> None:
        call()

    return run


def finish(args: argparse.Namespace, record: dict) -> None:
    """Add to each pass, by case, ``ns_per_pixel`` and ``per_pixel`` (relative to the first case).

    Add ``spread`` by group: the largest ``per_pixel`` of it, the first case included, over its
    least.
    """
    for row in record['passes'].values():
        pixels = {name: CASES[name].pixels for name in row['seconds']}
        row['ns_per_pixel'] = {
            name: 1e9 * seconds['median'] / pixels[name] for name, seconds in row['seconds'].items()
        }
        row['per_pixel'] = {BASE.name: 1.0} | {
            name: pixels[BASE.name] / pixels[name] / faster
            for name, faster in row['speed_up'].items()
        }
        row['spread'] = {}
        for group, cases in GROUPS.items():
            costs = [row['per_pixel'][case.name] for case in (BASE, *cases)]
            row['spread'][group] = max(costs) / min(costs)


def table(record: dict) -> str:
    """Table of one row a pass and case; the record is that of :data:`BENCHMARK`."""
    head = ['pass', 'N x H x W', 'ms', 'ns a pixel', 'relative', 'peak MiB']
    rows = []
    for row in record['passes'].values():
        for name, seconds in row['seconds'].items():
            peak = row['peak_mib'].get(name)
            rows.append(
                [
                    row['text'],
                    str(CASES[name]),
                    milliseconds(seconds['median']),
                    f'{row["ns_per_pixel"][name]:.1f}',
                    f'{row["per_pixel"][name]:.2f}',
                    '-' if peak is None else f'{peak:.1f}',
                ]
            )
    spreads = '; '.join(
        f'{row["text"]}: size {row["spread"]["size"]:.2f}, batch {row["spread"]["batch"]:.2f}'
        for row in record['passes'].values()
    )
    return '\n'.join(
        [
            markdown(head, rows),
            '',
            f'Largest over least time a pixel, with {BASE} among them: {spreads}.',
        ]
    )


BENCHMARK = Benchmark(
    summary="growth of the time of CDFA's aggregation",
    passes=lambda args: dict(DIRECTIONS),
    variants=tuple(CASES),
    build=build,
    finish=finish,
)
