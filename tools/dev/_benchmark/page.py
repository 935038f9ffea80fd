"""docs/performance.md, written from the files in docs/performance: page.md.in and the results."""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path
from typing import Any

from dev_common import ROOT

from condseg_mmseg.utils.errors import UserError
from condseg_mmseg.utils.files import write_text

from .data import data_table
from .growth import GROUPS, growth_table
from .op import op_table
from .tables import variants_table

FOLDER = ROOT / 'docs' / 'performance'
PAGE = ROOT / 'docs' / 'performance.md'
AGAIN = 'python tools/dev/benchmark.py page'
_PLACE = re.compile(r'\{\{(\w+\.json)( \+ limits)?\}\}')  # of a result in page.md.in
Record = dict[str, Any]


def table(record: Record) -> str:
    """Markdown of a record, whichever sub-command wrote it."""
    if record['benchmark'] == 'data':
        return data_table(record['data'])
    if record['benchmark'] == 'op':
        return growth_table(record) if record['settings']['growth'] else op_table(record)
    return variants_table(record)


def limits(record: Record) -> str:
    """Sentences about what bounds the figures of a record; may be empty."""
    if record['benchmark'] == 'op':
        return _growth_limits(record) if record['settings']['growth'] else _op_limits(record)
    row = next(iter(record['passes'].values()))
    seconds = {name: times['median'] for name, times in row['seconds'].items()}
    lines = []
    if {'ours', 'ours-products'} <= seconds.keys():
        lines.append(
            'The limit: `ours-products` runs only the convolutions and matrix products that `ours` '
            f'runs. They are {seconds["ours-products"] / seconds["ours"]:.0%} of its time; all '
            f'else costs a factor {seconds["ours"] / seconds["ours-products"]:.2f}.'
        )
    if len(record['passes']) > 1:
        lines.append(_per_pixel(record))
    if record['benchmark'] == 'model' and row.get('resident_mib'):
        shape = max(record['passes'], key=_pixels)
        found = record['passes'][shape]['resident_mib'].items()
        texts = ', '.join(f'{name} {mib:.0f} MiB' for name, mib in found)
        lines.append(
            f'Peak of the whole process at {shape}, libraries and weights included: {texts}.'
        )
    if 'ours-cp' in row['peak_mib'] and row['speed_up']:
        lines.append(
            '`with_cp=True` in neck and heads takes '
            f'{row["speed_up"]["ours"] / row["speed_up"]["ours-cp"]:.2f} times the time of `ours` '
            f'and {row["peak_mib"]["ours-cp"] / row["peak_mib"]["ours"]:.2f} times its memory.'
        )
    return ' '.join(lines)


def _op_limits(record: Record) -> str:
    last = record['variants'][-1]
    factors: dict[str, list[float]] = {'forward': [], 'both': []}
    for row in record['passes'].values():
        if last in row.get('seconds', {}) and row['bytes'] > 2**24:  # more than the caches hold
            factors[row['direction']].append(row['times_bound'][last])
    if not all(factors.values()):
        return ''
    forward, both = (
        ' to '.join(dict.fromkeys(f'{f(values):.1f}' for f in (min, max)))
        for values in factors.values()
    )
    return (
        f'Where the tensors are larger than 16 MiB, `{last}` takes {forward} times the bound '
        f'forward and {both} times with the backward pass, which must also read values and logits '
        'a second time.'
    )


def _growth_limits(record: Record) -> str:
    texts = [
        f'{max(row["per_pixel"][case.name] for case in GROUPS["window"]):.0f} ({row["text"]})'
        for row in record['passes'].values()
    ]
    return (
        'A wider window costs more than its area: every pixel has k^4 logits a head and '
        '(2k - 1)^2 multiply-adds a value. The dearest window takes '
        f'{" and ".join(texts)} times the time of k = 3.'
    )


def _per_pixel(record: Record) -> str:
    """How the time a pixel changes from the first size to the others, by variant."""
    first = next(iter(record['passes']))
    texts = []
    for name in record['passes'][first]['seconds']:
        cost = {
            shape: row['seconds'][name]['median'] / _pixels(shape)
            for shape, row in record['passes'].items()
            if name in row['seconds']
        }
        parts = [f'{cost[s] / cost[first]:.2f} at {s}' for s in cost if s != first]
        texts.append(f'{name} {", ".join(parts)}')
    return f'Time a pixel, relative to {first}: {"; ".join(texts)}.'


def _pixels(shape: str) -> int:
    height, width = map(int, shape.split('x'))
    return height * width


def _where(env: dict[str, Any]) -> str:
    machine, versions = env['machine'], env['versions']
    threads = f'{machine["threads"]} thread' + ('s' if machine['threads'] != 1 else '')
    name = f'{env["device"]}, {machine["cpu"]}' if 'device' in env else machine['cpu']
    stack = ', '.join(f'{key} {versions[key]}' for key in ('torch', 'mmengine', 'mmcv', 'mmseg'))
    commit, _, changes = (env['commit'] or 'unknown').partition('+')
    # of what was measured before the library was asked for, nothing is known
    native = env.get('native', 'yes')
    return (
        f'{name}, {threads}, {env["date"][:10]}, Python {versions["python"]}, {stack}, '
        f'commit {commit[:12]}{" with uncommitted changes" if changes else ""}.'
        + ('' if native == 'yes' else f' Without the aggregation in C: {native[4:]}.')
    )


def _wrap(text: str) -> str:
    if text.startswith('#'):
        return text
    return textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False)


def render(folder: Path = FOLDER) -> str:
    """Put the results into the text of page.md.in.

    Args:
        folder: With ``page.md.in`` and the JSON files that it names.

    Raises:
        UserError: A file that it names is missing, or it does not name one that is there.
    """
    pieces = _PLACE.split((folder / 'page.md.in').read_text(encoding='utf-8'))
    named, found = pieces[1::3], {path.name for path in folder.glob('*.json')}
    if different := sorted(found.symmetric_difference(named)):
        names = ', '.join(different)
        raise UserError(f'{folder}: page.md.in must name the JSON files there, no other: {names}')
    parts = []
    for text, file, with_limits in zip(pieces[::3], named, pieces[2::3], strict=False):
        record = json.loads((folder / file).read_text(encoding='utf-8'))
        settings = dict(record['settings'])
        if 'config' in settings:
            settings['config'] = Path(settings['config']).name
        parts += [_wrap(part.format_map(settings)) for part in text.strip().split('\n\n')]
        parts.append(table(record))
        if with_limits and (said := limits(record)):
            parts.append(_wrap(said))
        parts += [f'    {record["command"]}', _wrap(_where(record['environment']))]
    return '\n\n'.join(parts) + '\n'


def write(check: bool) -> str:
    """Write the page, or say what is wrong with it; empty where nothing is."""
    text = render()
    if not check:
        write_text(PAGE, text)
    elif not PAGE.is_file() or PAGE.read_text(encoding='utf-8') != text:
        return f'{PAGE.relative_to(ROOT)} is not what {AGAIN} writes: run it'
    return ''
