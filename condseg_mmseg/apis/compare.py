"""Compares two runs image by image, from their CSV files of scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..evaluation.bootstrap import bootstrap_interval
from ..evaluation.paired import EQUAL, compare_score
from ..evaluation.score_file import join, read_scores
from ..utils.arguments import check_output
from ..utils.errors import UserError
from ..utils.files import write_json


def compare(
    a: str | Path,
    b: str | Path,
    *,
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
    difference is that of a percentile bootstrap over images, 95 %. It and the p-value speak of
    other images of the same kind, not of other training runs: that takes several seeds.

    Args:
        a: CSV file of one run, of ``PerImageBinaryMetric`` or ``condseg evaluate``.
        b: That of the other.
        score: Orders the images that changed most. Default ``'dice'``.
        common: Leave out images of one file only. Default False: refuse them.
        top: Number of images to list. Default 10.
        resamples: Of the bootstrap. Default 1000.
        seed: Of the resamples. Default 0.
        json: File to write with what is returned. Default None.
        force: Replace ``json`` if it is there. Default False.

    Returns:
        ``a``, ``b``, ``images``, ``joined_by``, ``only_a``, ``only_b``, ``not_shared`` (scores),
        ``resamples``, ``seed``, ``scores`` (by name, as of :func:`.paired.compare_score`) and
        ``most_changed``; if both files hold counts, ``other_truth_area`` and ``other_size``, the
        numbers of images whose true area or size differs: of runs that were scored differently.

    Raises:
        UserError: A file, its images or an option does not fit.
    """
    if top < 0:
        raise UserError(f'--top must be 0 or more, got {top}')
    if resamples < 1:
        raise UserError(f'--resamples must be at least 1, got {resamples}')
    check_output('--json', json, [a, b], force)
    runs = [read_scores(a), read_scores(b)]
    shared = [name for name in runs[0].scores if name in runs[1].scores]
    if score not in shared:
        raise UserError(f'--score {score} is not in both files; they share {", ".join(shared)}')
    rows, joined = join(runs[0], runs[1], common)
    values = {
        name: (runs[0].scores[name][rows[0]], runs[1].scores[name][rows[1]]) for name in shared
    }
    differences = np.stack([y - x for x, y in values.values()], axis=1)
    ends = bootstrap_interval(differences, resamples, seed)
    changed = differences[:, shared.index(score)]
    order = np.argsort(-np.abs(np.nan_to_num(changed)), kind='stable')
    report: dict[str, Any] = dict(a=str(a), b=str(b), images=len(rows[0]), **joined)
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
        most_changed=dict(score=score, images=images[:top]),
    )
    if json is not None:
        write_json(json, report)
    return report
