"""Markdown tables of what was measured, from the record alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; cells are text."""
    lines = [head, ['---'] * len(head), *rows]
    return '\n'.join('| ' + ' | '.join(line) + ' |' for line in lines)


def milliseconds(seconds: float) -> str:
    """Three digits or more, however short."""
    value = 1e3 * seconds
    return f'{value:.3f}' if value < 1 else f'{value:.2f}' if value < 10 else f'{value:.1f}'


def table(record: dict) -> str:
    """Table of one row a pass and variant.

    Args:
        record: What :func:`_benchmark.core.measure` returns.
    """
    passes = record['passes'].values()
    found = (row.get('difference', {}).values() for row in passes)
    names = list(dict.fromkeys(name for row in found for kinds in row for name in kinds))
    head = ['pass', 'variant', 'ms', 'speed-up', 'peak MiB', 'memory saving', *names]
    rows = []
    for row in passes:
        for variant in record['variants']:
            cells = ['-'] * (len(head) - 2)
            if variant in row.get('seconds', {}):
                one = 'baseline' if variant == row['baseline'] else '-'
                kinds = row['difference'].get(variant, {})
                cells = [
                    milliseconds(row['seconds'][variant]['median']),
                    _cell(row['speed_up'].get(variant), '.2f', one),
                    _cell(row['peak_mib'].get(variant), '.1f'),
                    _cell(row['memory_saving'].get(variant), '.2f'),
                    *(_cell(kinds.get(name), _form(name)) for name in names),
                ]
            rows.append([row['text'], variant, *cells])
    return '\n'.join([markdown(head, rows), *reasons(record)])


def reasons(record: dict) -> list[str]:
    """Lines that say which variants were left out and why, after an empty one; or none."""
    found: dict[tuple[str, str], list[str]] = {}
    for row in record['passes'].values():
        for variant, why in row.get('left_out', {}).items():
            found.setdefault((variant, why), []).append(row['text'])
    everywhere = len(record['passes'])
    lines = [
        f'Without {variant}' + ('' if len(texts) == everywhere else f' ({"; ".join(texts)})')
        + f': {why}.'
        for (variant, why), texts in found.items()
    ]  # fmt: skip
    return ['', *lines] if lines else []


def _form(name: str) -> str:
    return '.4f' if name.endswith('IoU') else '.1e'


def _cell(value: float | None, form: str, none: str = '-') -> str:
    return none if value is None else format(value, form)
