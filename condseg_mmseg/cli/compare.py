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
difference B - A with its 95 % interval (bootstrap over images) and the difference that would be
found with a power of 80 %, p-value of the Wilcoxon signed-rank test, and the number of images on
which B is better, equal and worse. With --groups, --seeds-a or --seeds-b the interval is a t
interval over groups and seeds."""


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add the sub-command."""
    parser = commands.add_parser(
        'compare', help='two runs image by image, from their CSV files', description=_DESCRIPTION
    )
    parser.add_argument('a', metavar='A.csv', help='scores of one run')
    parser.add_argument('b', metavar='B.csv', help='scores of the other')
    for side in 'ab':
        parser.add_argument(
            f'--seeds-{side}', nargs='+', default=[], metavar='CSV',
            help=f'files of {side.upper()} trained with other seeds',
        )  # fmt: skip
    parser.add_argument(
        '--groups',
        metavar='FILE',
        help='images that belong together: CSV of image and group, or a column',
    )
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
        [args.a, *args.seeds_a], [args.b, *args.seeds_b], groups=args.groups,
        score=args.score, common=args.common, top=args.top,
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
    if report['groups'] is not None:
        lines[-1] += f', in {report["groups"]} groups'
    if max(report['seeds']) > 1:
        lines[-1] += f'; {report["seeds"][0]} seeds of A, {report["seeds"][1]} of B'
    if report['groups'] is not None and min(report['seeds']) < 2:
        lines.append('one seed on a side: the interval is about these trained networks')
    for which in 'ab':
        if names := report[f'only_{which}']:
            lines.append(f'left out, only in {which.upper()}, {len(names)}: {first_ten(names)}')
    if report['not_shared']:
        lines.append(f'scores in one file only: {", ".join(report["not_shared"])}')
    header = ['score', 'A', 'B', 'B - A', '95 % interval', 'detectable', 'p (Wilcoxon)']
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
        number(score['detectable']),
        '< 0.0001' if p is not None and p < 1e-4 else number(p, 4),
        *(str(score[key]) for key in ('b_better', 'equal', 'a_better', 'left_out')),
    ]
