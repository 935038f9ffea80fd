"""``condseg compare``: two runs image by image."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from condseg_mmseg.apis.compare import compare
from condseg_mmseg.evaluation.score_file import stem
from condseg_mmseg.utils.tables import number, table
from condseg_mmseg.utils.text import first_ten

_DESCRIPTION = """\
Compare two runs image by image, from their CSV files of scores: mean of A and of B, mean
difference B - A with its 95 % interval (bootstrap over images), p-value of the Wilcoxon
signed-rank test, and the number of images on which B is better, equal and worse."""


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add the sub-command."""
    parser = commands.add_parser(
        'compare', help='two runs image by image, from their CSV files', description=_DESCRIPTION
    )
    parser.add_argument('a', metavar='A.csv', help='scores of one run')
    parser.add_argument('b', metavar='B.csv', help='scores of the other')
    parser.add_argument('--score', default='dice', help='that orders the images (default: dice)')
    parser.add_argument('--top', type=int, default=10, help='images to list (default: 10)')
    parser.add_argument('--common', action='store_true', help='leave out images of one file only')
    parser.add_argument('--resamples', type=int, default=1000, help='default: 1000')
    parser.add_argument('--seed', type=int, default=0, help='of the resamples (default: 0)')
    parser.add_argument('--json', type=Path, help='file for the comparison')
    parser.add_argument('--force', action='store_true', help='replace the file of --json')
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Compare and print."""
    report = compare(
        args.a, args.b, score=args.score, common=args.common, top=args.top,
        resamples=args.resamples, seed=args.seed, json=args.json, force=args.force,
    )  # fmt: skip
    if report.get('other_size') or report.get('other_truth_area'):
        print(
            f'warning: {report["other_size"]} images were scored at different sizes and '
            f'{report["other_truth_area"]} against truths of different areas: the runs may have '
            'been scored by different protocols',
            file=sys.stderr,
        )
    print(describe(report))
    return 0


def describe(report: dict[str, Any]) -> str:
    """Write a comparison as text."""
    lines = [f'A: {report["a"]}', f'B: {report["b"]}']
    lines.append(f'{report["images"]} images, joined by {report["joined_by"]}')
    for which in 'ab':
        if names := report[f'only_{which}']:
            lines.append(f'left out, only in {which.upper()}, {len(names)}: {first_ten(names)}')
    if report['not_shared']:
        lines.append(f'scores in one file only: {", ".join(report["not_shared"])}')
    header = ['score', 'A', 'B', 'B - A', '95 % interval', 'p (Wilcoxon)']
    header += ['B better', 'equal', 'A better', 'undefined']
    lines += ['', table(header, [_row(name, s) for name, s in report['scores'].items()])]
    changed = report['most_changed']
    if changed['images']:
        rows = [
            [stem(x['image']), number(x['a']), number(x['b']), number(x['difference'], sign=True)]
            for x in changed['images']
        ]
        header = [f'changed most in {changed["score"]}', 'A', 'B', 'B - A']
        lines += ['', table(header, rows)]
    return '\n'.join(lines)


def _row(name: str, score: dict[str, Any]) -> list[str]:
    low, high = score['interval'] or (None, None)
    p = score['p_wilcoxon']
    return [
        name + ('' if score['higher_is_better'] else ' (lower is better)'),
        number(score['mean_a']),
        number(score['mean_b']),
        number(score['mean_difference'], sign=True),
        f'{number(low, sign=True)} .. {number(high, sign=True)}',
        '< 0.0001' if p is not None and p < 1e-4 else number(p, 4),
        *(str(score[key]) for key in ('b_better', 'equal', 'a_better', 'left_out')),
    ]
