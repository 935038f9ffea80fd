"""The table on the screen and the JSON file."""

from __future__ import annotations

import json
import os
import shutil
from collections import defaultdict
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .findings import BETWEEN_SPLITS, KINDS, Finding, Findings
from .scan import Scan

VERSION = 1
"""Of the JSON file; raised whenever a key changes its meaning or goes."""

_EXAMPLES = 2  # files named for each kind of finding
_WIDTH = 150  # of the report in a file
_NAMES = ('split', 'and', 'where')  # columns that hold names of splits
_LONGEST = 45  # of a name that is not broken


def _table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    table = Table(box=box.ASCII2, pad_edge=False, header_style='')
    for column in columns:
        table.add_column(
            column,
            justify='right' if column in right else 'left',
            overflow='fold',
            no_wrap=column == 'kind',
        )
    return table


def _finish(table: Table) -> Table:
    """Keep short names on one line."""
    for column in table.columns:
        if column.header in _NAMES:
            lines = [line for cell in column.cells for line in str(cell).split('\n')]
            column.no_wrap = max(map(len, lines), default=0) <= _LONGEST
            column.max_width = None if column.no_wrap else _LONGEST
    return table


def _short(name: str, alone: bool) -> str:
    """Leave out the data set where there is only one."""
    return name.partition('/')[2] or name if alone else name


def _counted(counts: dict[str, int]) -> str:
    if len(counts) == 1:
        return next(iter(counts))
    return ', '.join(f'{number} {what}' for what, number in counts.items()) or '-'


def _size(split: dict) -> str:
    if not split['width']:
        return '-'
    ranges = []
    for side in (split['width'], split['height']):
        low, high = round(side['p0']), round(side['p100'])
        ranges.append(str(low) if low == high else f'{low}..{high}')
    return ' x '.join(ranges)


def _splits(splits: list[dict], alone: bool) -> Table:
    table = _table(
        'split', 'use', 'pairs', 'width x height', 'mode', 'mask values',
        'foreground % p5/p50/p95', 'small/med./large', 'objects 0/1/2/3+',
        'mean RGB', right=('pairs',),
    )  # fmt: skip
    for split in splits:
        area, terciles, colour = split['foreground'], split['terciles'], split['colour']
        objects = {int(k): n for k, n in split['objects'].items()}
        by_number = [objects.get(k, 0) for k in range(3)]
        by_number.append(sum(n for k, n in objects.items() if k > 2))
        table.add_row(
            _short(split['name'], alone),
            split['role'] if split['role'] != 'other' else '?',
            str(split['pairs']),
            _size(split),
            _counted(split['image_modes']),
            _counted(split['encodings']),
            '/'.join(f'{100 * area[q]:.1f}' for q in ('p5', 'p50', 'p95')) if area else '-',
            '/'.join(map(str, terciles.values())) if terciles else '-',
            '/'.join(map(str, by_number)) if objects else '-',
            '/'.join(f'{c:.0f}' for c in colour) if colour else '-',
        )
    return _finish(table)


def _overlaps(overlaps: list[dict], alone: bool) -> Table:
    numbers = ('same name', 'same picture', 'nearly same')
    table = _table('split', 'and', *numbers, 'means', right=numbers)
    for row in overlaps:
        names = (_short(row[key], alone) for key in ('a', 'b'))
        counts = (str(row[key]) for key in ('same_name', 'same_picture', 'near'))
        table.add_row(*names, *counts, row['kind'])
    return _finish(table)


def _example(finding: Finding) -> str:
    files = ', '.join(Path(file).name for file in finding.files[:2])
    more = len(finding.files) - 2
    return (files + (f' and {more} more' if more > 0 else '')) + f': {finding.detail}'


def _kinds(findings: Findings, alone: bool) -> Table:
    table = _table('severity', 'kind', 'number', 'where', 'for example', right=('number',))
    groups: dict[tuple, list[Finding]] = defaultdict(list)
    for finding in findings.in_order():
        pair = finding.splits if finding.kind in BETWEEN_SPLITS else ()
        groups[finding.severity, finding.kind, pair].append(finding)
    for (severity, kind, _), group in groups.items():
        where = dict.fromkeys(_short(name, alone) for found in group for name in found.splits)
        examples = '\n'.join(_example(finding) for finding in group[:_EXAMPLES])
        table.add_row(severity, kind, str(len(group)), '\n'.join(where), examples)
    return _finish(table)


def print_report(record: dict, findings: Findings) -> None:
    """Print the tables; plain characters, so that a log file can be read.

    Args:
        record: From :func:`make_record`.
        findings: The same that ``record`` holds.
    """
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        columns = os.environ.get('COLUMNS', '')
        console.width = max(60, int(columns)) if columns.isdigit() else _WIDTH
    else:
        console.width = max(100, shutil.get_terminal_size().columns)
    for source in record['data_sets']:
        rules = ' / '.join(dict.fromkeys(split['mask_rule'] for split in source['splits']))
        line = f'{source["name"]}: {source["path"]}; masks: {rules or "-"}'
        console.print(Text(line), soft_wrap=True)
    console.print()
    alone = len(record['data_sets']) == 1
    console.print(_splits([split for s in record['data_sets'] for split in s['splits']], alone))
    if record['overlaps']:
        console.print('\nShared between splits')
        console.print(_overlaps(record['overlaps'], alone))
    if findings:
        console.print('\nFindings')
        console.print(_kinds(findings, alone))
        for kind in dict.fromkeys(finding.kind for finding in findings.in_order()):
            console.print(f'{kind}: {KINDS[kind][1]}', soft_wrap=True)
    counts = record['counts']
    parts = [
        f'{counts[key]} {word}{"" if counts[key] == 1 else "s"}'
        for key, word in (('error', 'error'), ('warning', 'warning'), ('info', 'note'))
    ]
    console.print(f'\n{", ".join(parts)}; exit status {record["exit_status"]}')


def image_record(scan: Scan, splits: list[str]) -> dict:
    """Return what the JSON file holds of one pair."""
    content = scan.content
    return dict(
        image=scan.image,
        mask=scan.mask,
        splits=splits,
        width=scan.size[0] if scan.size else None,
        height=scan.size[1] if scan.size else None,
        mode=scan.mode,
        digest=scan.digest,
        colour=list(scan.colour) if scan.colour else None,
        spread=scan.spread,
        mask_mode=scan.mask_mode,
        encoding=scan.encoding,
        foreground=round(content.share, 6) if content else None,
        objects=content.objects if content else None,
        tiny_objects=content.tiny if content else None,
        object_areas=list(content.areas) if content else None,
    )


def make_record(
    options: dict,
    data_sets: list[dict],
    overlaps: list[dict],
    findings: Findings,
    images: list[dict],
    fail_on: str,
) -> dict:
    """Gather what the JSON file holds.

    Args:
        options: The command line.
        data_sets: ``name``, ``path``, ``tercile_edges`` and ``splits`` of each.
        overlaps: From :func:`leakage.overlaps`.
        findings: All.
        images: From :func:`image_record`.
        fail_on: See :meth:`Findings.exit_status`.

    Returns:
        The record.
    """
    return dict(
        version=VERSION,
        options=options,
        counts=findings.counts(),
        exit_status=findings.exit_status(fail_on),
        data_sets=data_sets,
        overlaps=overlaps,
        findings=[finding.as_dict() for finding in findings.in_order()],
        images=images,
    )


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f'.{path.name}.{os.getpid()}.part')
    try:
        partial.write_bytes(data)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: Path, record: dict) -> None:
    """Write the record."""
    text = json.dumps(record, indent=1, allow_nan=False)
    write_atomically(path, (text + '\n').encode())
