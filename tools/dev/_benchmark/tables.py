"""Markdown tables of what was measured, from the record alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from condseg_mmseg.utils.tables import number, table

LAYOUT = '-cl'  # ends the name of a variant whose figures are beside those of the one without


def milliseconds(seconds: float) -> str:
    """Three digits or more, however short."""
    value = 1e3 * seconds
    return number(value, 3 if value < 1 else 2 if value < 10 else 1)


def variants_table(record: dict[str, Any]) -> str:
    """Table of one row a pass and variant; figures on channels-last maps in columns of their own.

    Args:
        record: What :func:`_benchmark.core.measure` returns.
    """
    passes, variants = record['passes'].values(), record['variants']
    found = [names for row in passes for names in row.get('difference', {}).values()]
    kinds = list(dict.fromkeys(name for names in found for name in names))
    columns = ['ms', 'speed-up', 'peak MiB', 'memory saving', *kinds]
    layouts = ['', LAYOUT] if any(v.endswith(LAYOUT) for v in variants) else ['']
    head = ['pass', 'variant'] + [
        f'{column}, channels-last' if layout else column for column in columns for layout in layouts
    ]
    rows = [
        [row['text'], base, *(cell for pair in zip(*cells, strict=True) for cell in pair)]
        for row in passes
        for base in dict.fromkeys(variant.removesuffix(LAYOUT) for variant in variants)
        if (cells := [_figures(row, base + layout, kinds) for layout in layouts])
    ]
    return '\n'.join([table(head, rows, aligned=False), *reasons(record)])


def _figures(row: dict[str, Any], variant: str, kinds: Sequence[str]) -> list[str]:
    if variant not in row.get('seconds', {}):
        return ['-'] * (4 + len(kinds))
    differences = row['difference'].get(variant, {})
    return [
        milliseconds(row['seconds'][variant]['median']),
        'baseline' if variant == row['baseline'] else number(row['speed_up'].get(variant)),
        number(row['peak_mib'].get(variant), 1),
        number(row['memory_saving'].get(variant)),
        *(_difference(differences[kind], kind) if kind in differences else '-' for kind in kinds),
    ]


def _difference(value: float, kind: str) -> str:
    return number(value, 4) if kind.endswith('IoU') else f'{value:.1e}'


def reasons(record: dict[str, Any]) -> list[str]:
    """Lines that say which variants were left out and why, after an empty one; or none."""
    found: dict[tuple[str, str], list[str]] = {}
    for row in record['passes'].values():
        for variant, why in row.get('left_out', {}).items():
            found.setdefault((variant, why), []).append(row['text'])
    lines = [
        f'Without {variant}'
        + ('' if len(texts) == len(record['passes']) else f' ({"; ".join(texts)})')
        + f': {why}.'
        for (variant, why), texts in found.items()
    ]
    return ['', *lines] if lines else []
