"""How the time of CDFA's aggregation grows with the size of the map, the batch and the window.

The cases are the variants of one pass, so that they alternate like those of other benchmarks.
"""

from __future__ import annotations

import argparse
from typing import Any

from condseg_mmseg.utils.errors import UserError
from condseg_mmseg.utils.tables import number, table

from .core import Benchmark, Call
from .op import DIRECTIONS, Case
from .tables import milliseconds

BASE = Case(1, 64, 64, 3)
GROUPS = {
    'size': [Case(1, side, side, 3) for side in (128, 256, 512)],
    'batch': [Case(batch, 64, 64, 3) for batch in (2, 4, 8)],
    'window': [Case(1, 64, 64, window) for window in (1, 5, 7)],
}
CASES = {case.name: case for case in (BASE, *(case for group in GROUPS.values() for case in group))}


class Growth(Benchmark):
    """The backend ``auto`` on growing tensors; nothing is compared."""

    variants = tuple(CASES)

    def __init__(self, args: argparse.Namespace) -> None:
        super().__init__(args)
        if args.case or args.only:
            raise UserError('--growth has its own cases: leave --case and --only out')

    def passes(self) -> dict[str, str]:
        return dict(DIRECTIONS)

    def build(self, name: str, variant: str) -> Call:
        call = CASES[variant].call(self.args, 'auto', name)

        def run() -> None:
            call()

        return run

    def finish(self, record: dict[str, Any]) -> None:
        """Add by case ``ns_per_pixel`` and ``per_pixel``, which is relative to the first case.

        Add by group ``spread``, its largest over its least, the first case included.
        """
        for row in record['passes'].values():
            pixels = {name: CASES[name].pixels for name in row['seconds']}
            row['ns_per_pixel'] = {
                name: 1e9 * times['median'] / pixels[name] for name, times in row['seconds'].items()
            }
            row['per_pixel'] = {BASE.name: 1.0} | {
                name: pixels[BASE.name] / pixels[name] / faster
                for name, faster in row['speed_up'].items()
            }
            row['spread'] = {}
            for group, cases in GROUPS.items():
                costs = [row['per_pixel'][case.name] for case in (BASE, *cases)]
                row['spread'][group] = max(costs) / min(costs)


def growth_table(record: dict[str, Any]) -> str:
    """Table of one row a pass and case; the record is that of :class:`Growth`."""
    head = ['pass', 'N x H x W', 'ms', 'ns a pixel', 'relative', 'peak MiB']
    passes = record['passes'].values()
    rows = [
        [
            row['text'],
            str(CASES[name]),
            milliseconds(seconds['median']),
            number(row['ns_per_pixel'][name], 1),
            number(row['per_pixel'][name]),
            number(row['peak_mib'].get(name), 1),
        ]
        for row in passes
        for name, seconds in row['seconds'].items()
    ]
    spreads = '; '.join(
        f'{row["text"]}: size {row["spread"]["size"]:.2f}, batch {row["spread"]["batch"]:.2f}'
        for row in passes
    )
    said = f'Largest over least time a pixel, with {BASE} among them: {spreads}.'
    return '\n'.join([table(head, rows, aligned=False), '', said])
