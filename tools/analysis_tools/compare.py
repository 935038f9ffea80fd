"""Compare two runs image by image, from their CSV files of scores.

    python tools/analysis_tools/compare.py A.csv B.csv [--score dice] [--top 10] [--json FILE]

The files are those of PerImageBinaryMetric (csv_path) or evaluate_folder.py (--csv). Images are
joined by path, or by file name where the paths differ. For every score that both files have:
mean of A and of B, mean difference B - A with its 95 % interval (percentile bootstrap over
images), the p-value of the Wilcoxon signed-rank test, and on how many images B is better, equal,
worse. A pair in which one value is undefined is left out of that score and counted.

The interval and the p-value speak of other images of the same kind, not of other training runs:
that takes several seeds.
"""

import argparse
import csv
import math
import sys
from collections import Counter
from dataclasses import dataclass
from os.path import splitext
from pathlib import Path, PurePosixPath

import numpy as np
from _report import check_writable, number, table, write_json

from condseg_mmseg.datasets.files import has_image_suffix
from condseg_mmseg.evaluation.bootstrap import bootstrap_interval
from condseg_mmseg.evaluation.extra_scores import EXTRA_SCORES
from condseg_mmseg.utils.arguments import refuse_inputs
from condseg_mmseg.utils.text import first_ten

COUNTS = ('tp', 'fp', 'fn', 'tn')
NOT_SCORES = ('img_path', *COUNTS, 'size')
EQUAL = 1e-9  # differences up to this are equal: the files hold every digit


@dataclass
class ScoreFile:
    """Scores of a run.

    Args:
        path: CSV file.
        names: ``img_path`` of each row.
        scores: Shape (N,) per score, NaN where undefined.
        pixels: tp + fn and all pixels of each row, shape (N, 2), or None without counts.
    """

    path: str
    names: list[str]
    scores: dict[str, np.ndarray]
    pixels: np.ndarray | None


def read_scores(path: str) -> ScoreFile:
    """Read a CSV file.

    Raises:
        ValueError: It is no such file: columns are missing, a row is of another length, a cell is
            no number, an image is there twice, or there is no image.
    """
    with open(path, newline='', encoding='utf-8-sig') as file:
        lines = csv.reader(file)
        header = next(lines, [])
        names = [column for column in header if column not in NOT_SCORES]
        if 'img_path' not in header or not names:
            raise ValueError(
                f'{path}: expected the columns img_path and at least one score, as '
                f'PerImageBinaryMetric writes them, got {", ".join(header) or "an empty file"}'
            )
        if len(set(header)) < len(header):
            raise ValueError(f'{path}: a column is there twice: {", ".join(header)}')
        images, rows = [], []
        for row in lines:
            where = f'{path}, line {lines.line_num}'
            if len(row) != len(header):
                raise ValueError(f'{where}: {len(row)} cells under {len(header)} columns')
            cells = dict(zip(header, row, strict=True))
            images.append(cells.pop('img_path'))
            cells.pop('size', None)
            rows.append({column: _number(text, where, column) for column, text in cells.items()})
    if not rows:
        raise ValueError(f'{path} holds no image')
    _refuse_twice(path, images)
    columns = {column: np.array([row[column] for row in rows]) for column in rows[0]}
    pixels = None
    if all(column in columns for column in COUNTS):
        tp, fp, fn, tn = (columns[column] for column in COUNTS)
        pixels = np.stack([tp + fn, tp + fp + fn + tn], axis=1)
    return ScoreFile(path, images, {name: columns[name] for name in names}, pixels)


def _number(text: str, where: str, column: str) -> float:
    try:
        value = float(text) if text.strip() else math.nan
    except ValueError:
        value = math.inf
    if math.isinf(value):
        raise ValueError(f'{where}, column {column}: {text!r} is no number')
    return value


def _refuse_twice(path: str, names: list[str], what: str = 'image') -> None:
    twice = [name for name, n in Counter(names).items() if n > 1]
    if twice:
        raise ValueError(f'{path}: the same {what} in several rows: {first_ten(twice)}')


def join(a: ScoreFile, b: ScoreFile, common: bool = False) -> tuple[list[tuple[int, int]], dict]:
    """Find the rows of the same images.

    Args:
        a: One run.
        b: The other.
        common: Leave out images that only one of them has. Default False.

    Returns:
        Pairs of rows in the order of A, and how they were found: ``joined_by`` (``'path'`` or
        ``'name'``, the file name without folders and ending), ``only_a``, ``only_b``.

    Raises:
        ValueError: Images of one are missing in the other (unless ``common``), none is shared, or
            several images of a file share the name that would join them.
    """
    by, keys = 'path', [a.names, b.names]
    if set(a.names) != set(b.names):
        stems = [[_stem(name) for name in run.names] for run in (a, b)]
        # the paths of one data set at two places; but never join by name what paths tell apart
        if len(set(stems[0]) & set(stems[1])) > len(set(a.names) & set(b.names)):
            by, keys = 'name', stems
            for run, names in zip((a, b), stems, strict=True):
                _refuse_twice(run.path, names, 'file name')
    rows = {key: i for i, key in enumerate(keys[1])}
    pairs = [(i, rows[key]) for i, key in enumerate(keys[0]) if key in rows]
    only = [
        [name for name, key in zip(run.names, own, strict=True) if key not in set(other)]
        for run, own, other in ((a, *keys), (b, *reversed(keys)))
    ]
    if not pairs:
        raise ValueError(
            f'{a.path} and {b.path} share no image; they name {a.names[0]} and {b.names[0]}, ...'
        )
    if any(only) and not common:
        raise ValueError(
            'the files hold different images (--common compares the shared ones):'
            + ''.join(
                f'\n  only in {run.path}, {len(names)}: {first_ten(names)}'
                for run, names in zip((a, b), only, strict=True)
                if names
            )
        )
    return pairs, dict(joined_by=by, only_a=only[0], only_b=only[1])


def _stem(path: str) -> str:
    name = PurePosixPath(path.replace('\\', '/')).name
    return splitext(name)[0] if has_image_suffix(name) else name


def higher_is_better(score: str) -> bool:
    """Whether more of a score is better."""
    return score not in EXTRA_SCORES or EXTRA_SCORES[score].higher_is_better


def wilcoxon_p(differences: np.ndarray) -> float:
    """Two-sided p-value of the Wilcoxon signed-rank test; equal pairs do not count.

    Differences of equal size share their mean rank. Without any pair that differs, p is 1.
    """
    from scipy.stats import wilcoxon

    differences = np.where(np.abs(differences) <= EQUAL, 0, differences)
    if not differences.any():
        return 1.0
    return float(wilcoxon(differences, zero_method='wilcox').pvalue)


def compare_score(a: np.ndarray, b: np.ndarray, score: str, interval: np.ndarray) -> dict:
    """Compare one score of joined images.

    Args:
        a: Of one run, shape (N,).
        b: Of the other.
        score: Its name.
        interval: Lower and upper end of the mean difference.

    Returns:
        As in the JSON file.
    """
    defined = ~(np.isnan(a) | np.isnan(b))
    a, b = a[defined], b[defined]
    difference = b - a
    gain = difference if higher_is_better(score) else -difference
    some = bool(defined.any())
    return dict(
        pairs=int(defined.sum()),
        left_out=int((~defined).sum()),
        higher_is_better=higher_is_better(score),
        mean_a=float(a.mean()) if some else None,
        mean_b=float(b.mean()) if some else None,
        mean_difference=float(difference.mean()) if some else None,
        interval=[float(end) for end in interval] if some else None,
        p_wilcoxon=wilcoxon_p(difference) if some else None,
        b_better=int((gain > EQUAL).sum()),
        equal=int((np.abs(gain) <= EQUAL).sum()),
        a_better=int((gain < -EQUAL).sum()),
    )


def compare(
    a: ScoreFile,
    b: ScoreFile,
    score: str = 'dice',
    common: bool = False,
    top: int = 10,
    resamples: int = 1000,
    seed: int = 0,
) -> dict:
    """Compare two runs; see the options of the command line.

    Raises:
        ValueError: The images or the score do not fit.
    """
    shared = [name for name in a.scores if name in b.scores]
    if score not in shared:
        raise ValueError(f'--score {score} is not in both files; they share {", ".join(shared)}')
    pairs, joined = join(a, b, common)
    rows_a, rows_b = (list(rows) for rows in zip(*pairs, strict=True))
    values = {name: (a.scores[name][rows_a], b.scores[name][rows_b]) for name in shared}
    differences = {name: y - x for name, (x, y) in values.items()}
    ends = bootstrap_interval(np.stack(list(differences.values()), axis=1), resamples, seed)
    changed = differences[score]
    order = np.argsort(-np.abs(np.nan_to_num(changed)), kind='stable')
    order = [i for i in order if abs(changed[i]) > EQUAL][:top]  # NaN is not
    apart = {}
    if a.pixels is not None and b.pixels is not None:
        other = (a.pixels[rows_a] != b.pixels[rows_b]).sum(axis=0)
        apart = dict(other_truth_area=int(other[0]), other_size=int(other[1]))
    return dict(
        a=a.path,
        b=b.path,
        images=len(pairs),
        **joined,
        **apart,
        not_shared=sorted(set(a.scores) ^ set(b.scores)),
        resamples=resamples,
        seed=seed,
        scores={
            name: compare_score(*values[name], name, ends[:, i]) for i, name in enumerate(shared)
        },
        most_changed=dict(
            score=score,
            images=[
                dict(
                    image=a.names[rows_a[i]],
                    a=float(values[score][0][i]),
                    b=float(values[score][1][i]),
                    difference=float(changed[i]),
                )
                for i in order
            ],
        ),
    )


def describe(report: dict) -> str:
    """Write a comparison as text."""
    lines = [f'A: {report["a"]}', f'B: {report["b"]}']
    lines.append(f'{report["images"]} images, joined by {report["joined_by"]}')
    for which in 'ab':
        if names := report[f'only_{which}']:
            lines.append(f'left out, only in {which.upper()}, {len(names)}: {first_ten(names)}')
    if report['not_shared']:
        lines.append(f'scores in one file only: {", ".join(report["not_shared"])}')
    rows = []
    for name, s in report['scores'].items():
        low, high = s['interval'] or (None, None)
        interval = f'{number(low, sign=True)} .. {number(high, sign=True)}'
        arrow = '' if s['higher_is_better'] else ' (lower is better)'
        numbers = [number(s['mean_a']), number(s['mean_b'])]
        numbers += [number(s['mean_difference'], sign=True), interval, p_value(s['p_wilcoxon'])]
        counts = [str(s[key]) for key in ('b_better', 'equal', 'a_better', 'left_out')]
        rows.append([name + arrow, *numbers, *counts])
    header = ['score', 'A', 'B', 'B - A', '95 % interval', 'p (Wilcoxon)']
    lines += ['', table([*header, 'B better', 'equal', 'A better', 'undefined'], rows)]
    changed = report['most_changed']
    if changed['images']:
        rows = [
            [_stem(x['image']), number(x['a']), number(x['b']), number(x['difference'], sign=True)]
            for x in changed['images']
        ]
        header = [f'changed most in {changed["score"]}', 'A', 'B', 'B - A']
        lines += ['', table(header, rows)]
    return '\n'.join(lines)


def p_value(p: float | None) -> str:
    """Write a p-value."""
    if p is None:
        return '-'
    return '< 0.0001' if p < 1e-4 else f'{p:.4f}'


def main(argv: list[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('a', metavar='A.csv', help='scores of one run')
    parser.add_argument('b', metavar='B.csv', help='scores of the other')
    parser.add_argument('--score', default='dice', help='that orders the images (default: dice)')
    parser.add_argument('--top', type=int, default=10, help='images to list (default: 10)')
    parser.add_argument('--common', action='store_true', help='leave out images of one file only')
    parser.add_argument('--resamples', type=int, default=1000, help='default: 1000')
    parser.add_argument('--seed', type=int, default=0, help='of the resamples (default: 0)')
    parser.add_argument('--json', type=Path, help='file for the comparison')
    args = parser.parse_args(argv)
    if args.top < 0:
        parser.error(f'--top must be 0 or more, got {args.top}')
    if args.resamples < 1:
        parser.error(f'--resamples must be at least 1, got {args.resamples}')
    if problem := check_writable(args.json):
        parser.error(problem)
    try:
        refuse_inputs('--json', args.json, [args.a, args.b])
        report = compare(
            read_scores(args.a), read_scores(args.b), args.score, args.common, args.top,
            args.resamples, args.seed,
        )  # fmt: skip
    except ImportError as error:
        print(f'error: {error}: pip install "condseg-mmseg[metrics]"', file=sys.stderr)
        return 2
    except (ValueError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    if report.get('other_size') or report.get('other_truth_area'):
        print(
            f'warning: {report["other_size"]} images were scored at different sizes and '
            f'{report["other_truth_area"]} against truths of different areas: the runs may have '
            'been scored by different protocols',
            file=sys.stderr,
        )
    print(describe(report))
    if args.json:
        write_json(args.json, report)
    return 0


if __name__ == '__main__':
    sys.exit(main())
