"""Compares two runs image by image, from their CSV files of scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..evaluation.bootstrap import bootstrap_interval
from ..evaluation.groups import read_groups
from ..evaluation.paired import EQUAL, compare_score, over_groups
from ..evaluation.score_file import ScoreFile, join, read_scores
from ..utils.arguments import check_output
from ..utils.errors import UserError
from ..utils.files import write_json

Files = str | Path | Sequence[str | Path]


def compare(
    a: Files,
    b: Files,
    *,
    groups: str | Path | None = None,
    score: str = 'dice',
    common: bool = False,
    top: int = 10,
    resamples: int = 1000,
    seed: int = 0,
    json: str | Path | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Compare every score that both files have, in pairs of the same image.

    Images are joined by path, or by file name where the paths differ. The interval of the mean
    difference is that of a percentile bootstrap over images, 95 %. It and the p-value are about
    other images of the same kind, not about other training runs: these need several seeds. With
    ``groups`` or several files the interval is that of
    :func:`.grouped_interval.mean_difference`; all else compares the means over the seeds.

    Args:
        a: CSV file of one run, of ``PerImageBinaryMetric`` or ``condseg evaluate``; or several, of
            the same method trained with other seeds.
        b: Those of the other.
        groups: What images belong together, such as those of one video: a CSV file of image and
            group, or the name of a column of the files. Default None: nothing. With one seed on a
            side the interval is about these trained networks.
        score: Orders the images that changed most. Default ``'dice'``.
        common: Leave out images of one file only. Default False: refuse them.
        top: Number of images to list. Default 10.
        resamples: Of the bootstrap. Default 1000.
        seed: Of the resamples. Default 0.
        json: File to write with what is returned. Default None.
        force: Replace ``json`` if it is there. Default False.

    Returns:
        ``a``, ``b``, ``images``, ``joined_by``, ``only_a``, ``only_b``, ``not_shared`` (scores),
        ``resamples``, ``seed``, ``scores`` (by name, as of :func:`.paired.compare_score`, and
        ``detectable``, the difference that the test of the grouped interval finds with a power of
        80 %), ``seeds`` (of A and of B), ``groups`` (their number, None without) and
        ``most_changed``; if both files hold counts, ``other_truth_area`` and ``other_size``, the
        numbers of images whose true area or size differs: of runs that were scored differently.

    Raises:
        UserError: A file, its images or an option does not fit.
    """
    if top < 0:
        raise UserError(f'--top must be 0 or more, got {top}')
    if resamples < 1:
        raise UserError(f'--resamples must be at least 1, got {resamples}')
    paths = [[x] if isinstance(x, (str, Path)) else list(x) for x in (a, b)]
    if not all(paths):
        raise UserError('compare needs a file of A and one of B')
    column = None if groups is None or Path(groups).is_file() else str(groups)
    check_output('--json', json, [*paths[0], *paths[1], None if column else groups], force)
    sides = [[read_scores(path, column) for path in side] for side in paths]
    runs = [side[0] for side in sides]
    shared = [name for name in runs[0].scores if all(name in f.scores for s in sides for f in s)]
    if score not in shared:
        raise UserError(f'--score {score} is not in both files; they share {", ".join(shared)}')
    rows, joined = join(runs[0], runs[1], common)
    first, second = (_stacked(side, shared) for side in sides)
    seeds = {name: (first[name][:, rows[0]], second[name][:, rows[1]]) for name in shared}
    values = {name: (x.mean(0), y.mean(0)) for name, (x, y) in seeds.items()}
    members = _members(groups, column, runs[0], rows[0])
    differences = np.stack([y - x for x, y in values.values()], axis=1)
    ends = bootstrap_interval(differences, resamples, seed)
    changed = differences[:, shared.index(score)]
    order = np.argsort(-np.abs(np.nan_to_num(changed)), kind='stable')
    report: dict[str, Any] = dict(
        a=_named(paths[0]), b=_named(paths[1]), images=len(rows[0]), **joined
    )
    areas = [run.pixels[r] for run, r in zip(runs, rows, strict=True) if run.pixels is not None]
    if len(areas) == 2:
        other = (areas[0] != areas[1]).sum(axis=0)
        report |= dict(other_truth_area=int(other[0]), other_size=int(other[1]))
    images = [
        dict(
            image=runs[0].names[rows[0][i]],
            a=float(values[score][0][i]),
            b=float(values[score][1][i]),
            difference=float(changed[i]),
        )
        for i in order
        if abs(changed[i]) > EQUAL  # NaN is not
    ]
    report |= dict(
        not_shared=sorted(set(runs[0].scores) ^ set(runs[1].scores)),
        resamples=resamples,
        seed=seed,
        scores={n: compare_score(*values[n], n, ends[:, i]) for i, n in enumerate(shared)},
        seeds=[len(side) for side in sides],
        groups=None if members is None else len(set(members)),
        most_changed=dict(score=score, images=images[:top]),
    )
    grouped = members is not None or max(report['seeds']) > 1
    for name, found in report['scores'].items():
        estimate = over_groups(*seeds[name], members)
        found['detectable'] = None if estimate is None else estimate.detectable
        if grouped:
            found['interval'] = None if estimate is None else [estimate.low, estimate.high]
    if json is not None:
        write_json(json, report)
    return report


def _named(paths: Sequence[str | Path]) -> str:
    return ', '.join(map(str, paths))


def _stacked(files: Sequence[ScoreFile], names: Sequence[str]) -> dict[str, np.ndarray]:
    """Scores of all files of one side, (seeds, N), in the order of the first."""
    order = [join(files[0], file)[0][1] for file in files]
    return {
        name: np.stack([file.scores[name][rows] for file, rows in zip(files, order, strict=True)])
        for name in names
    }


def _members(
    groups: str | Path | None, column: str | None, file: ScoreFile, rows: np.ndarray
) -> list[str] | None:
    """Group of each joined image."""
    if groups is None:
        return None
    names = [file.names[row] for row in rows]
    if column is None:
        return read_groups(groups, names)
    assert file.groups is not None
    return [file.groups[row] for row in rows]
