"""The tables on the screen."""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from condseg_mmseg.utils.text import count

from .kinds import BETWEEN_SPLITS, KINDS

_Record = Mapping[str, Any]
_EXAMPLES = 2  # findings of a kind, and files of a finding, that are named
_WIDTH = 150  # of the report in a file
_NAMES = ('split', 'and', 'where')  # columns that hold names of splits
_LONGEST = 45  # of a name that is not broken


def _table(columns: Iterable[str], rows: Iterable[Iterable[str]], right: Iterable[str]) -> Table:
    """Make a table of plain characters; short names stay on one line."""
    table = Table(box=box.ASCII2, pad_edge=False, header_style='')
    for name in columns:
        side = 'right' if name in right else 'left'
        table.add_column(name, justify=side, overflow='fold', no_wrap=name == 'kind')  # type: ignore
    for row in rows:
        table.add_row(*row)
    for column in table.columns:
        if column.header in _NAMES:
            lines = [line for cell in column.cells for line in str(cell).split('\n')]
            column.no_wrap = max(map(len, lines), default=0) <= _LONGEST
            column.max_width = None if column.no_wrap else _LONGEST
    return table


def _short(name: str, alone: bool) -> str:
    """Leave out the data set where there is only one."""
    return name.partition('/')[2] or name if alone else name


def _counted(counts: Mapping[str, int]) -> str:
    if len(counts) == 1:
        return next(iter(counts))
    return ', '.join(f'{number} {what}' for what, number in counts.items()) or '-'


def _size(split: _Record) -> str:
    if not split['width']:
        return '-'
    ends = [(round(split[side]['p0']), round(split[side]['p100'])) for side in ('width', 'height')]
    return ' x '.join(str(low) if low == high else f'{low}..{high}' for low, high in ends)


def _split_row(split: _Record, alone: bool) -> list[str]:
    area, terciles, colour = split['foreground'], split['terciles'], split['colour']
    objects = {int(k): n for k, n in split['objects'].items()}
    by_number = [objects.get(k, 0) for k in range(3)]
    by_number.append(sum(n for k, n in objects.items() if k > 2))
    return [
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
    ]


def _splits(splits: Iterable[_Record], alone: bool) -> Table:
    columns = (
        'split', 'use', 'pairs', 'width x height', 'mode', 'mask values',
        'foreground % p5/p50/p95', 'small/med./large', 'objects 0/1/2/3+', 'mean RGB',
    )  # fmt: skip
    return _table(columns, (_split_row(split, alone) for split in splits), ['pairs'])


def _overlaps(overlaps: Iterable[_Record], alone: bool) -> Table:
    numbers = {'same_name': 'same name', 'same_picture': 'same picture', 'near': 'nearly same'}
    rows = (
        [*(_short(row[k], alone) for k in 'ab'), *(str(row[k]) for k in numbers), row['kind']]
        for row in overlaps
    )
    return _table(('split', 'and', *numbers.values(), 'means'), rows, numbers.values())


def _example(finding: _Record) -> str:
    files = ', '.join(Path(file).name for file in finding['files'][:_EXAMPLES])
    more = len(finding['files']) - _EXAMPLES
    return (files + (f' and {more} more' if more > 0 else '')) + f': {finding["detail"]}'


def _kinds(findings: Iterable[_Record], alone: bool) -> Table:
    groups: dict[tuple, list[_Record]] = defaultdict(list)
    for finding in findings:
        pair = tuple(finding['splits']) if finding['kind'] in BETWEEN_SPLITS else ()
        groups[finding['severity'], finding['kind'], pair].append(finding)
    rows = []
    for (severity, kind, _), group in groups.items():
        where = dict.fromkeys(_short(name, alone) for found in group for name in found['splits'])
        examples = '\n'.join(_example(finding) for finding in group[:_EXAMPLES])
        rows.append([severity, kind, str(len(group)), '\n'.join(where), examples])
    return _table(('severity', 'kind', 'number', 'where', 'for example'), rows, ['number'])


def print_report(record: _Record) -> None:
    """Print the tables; plain characters, so that a log file can be read.

    Args:
        record: From :func:`.dataset.check_dataset`.
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
    if record['findings']:
        console.print('\nFindings')
        console.print(_kinds(record['findings'], alone))
        for kind in dict.fromkeys(finding['kind'] for finding in record['findings']):
            console.print(f'{kind}: {KINDS[kind][1]}', soft_wrap=True)
    words = dict(error='error', warning='warning', info='note')
    counts = ', '.join(count(record['counts'][key], word) for key, word in words.items())
    console.print(f'\n{counts}; exit status {record["exit_status"]}')
