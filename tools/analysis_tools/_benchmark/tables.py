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


LAYOUT = '-cl'  # ends the name of a variant whose figures stand beside those of the one without


def table(record: dict) -> str:
    """Table of one row a pass and variant; figures on channels-last maps in columns of their own.

    Args:
        record: What :func:`_benchmark.core.measure` returns.
    """
    passes = record['passes'].values()
    found = (row.get('difference', {}).values() for row in passes)
    kinds = list(dict.fromkeys(name for row in found for names in row for name in names))
    columns = ['ms', 'speed-up', 'peak MiB', 'memory saving', *kinds]
    layouts = ['', LAYOUT] if any(v.endswith(LAYOUT) for v in record['variants']) else ['']
    head = ['pass', 'variant'] + [
        f'{column}, channels-last' if layout else column for column in columns for layout in layouts
    ]
    rows = []
    for row in passes:
        for variant in record['variants']:
            # a name with the ending has a row of its own only where the other was not measured
            if variant.endswith(LAYOUT) and variant.removesuffix(LAYOUT) in record['variants']:
                continue
            base = variant.removesuffix(LAYOUT)
            cells = [_figures(row, base + layout, kinds) for layout in layouts]
            rows.append(
                [row['text'], base, *(x for pair in zip(*cells, strict=True) for x in pair)]
            )
    return '\n'.join([markdown(head, rows), *reasons(record)])


def _figures(row: dict, variant: str, kinds: Sequence[str]) -> list[str]:
    if variant not in row.get('seconds', {}):
        return ['-'] * (4 + len(kinds))
    differences = row['difference'].get(variant, {})
    return [
        milliseconds(row['seconds'][variant]['median']),
        _cell(
            row['speed_up'].get(variant), '.2f', 'baseline' if variant == row['baseline'] else '-'
        ),
        _cell(row['peak_mib'].get(variant), '.1f'),
        _cell(row['memory_saving'].get(variant), '.2f'),
        *(_cell(differences.get(kind), _form(kind)) for kind in kinds),
    ]


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
