"""Cells and tables of the comparison, from the scores of every image."""

from __future__ import annotations

import csv
import functools
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import yaml
from dev_common import ROOT
from run_files import Runs, Trained, stacked

from condseg_mmseg.evaluation.grouped_interval import mean_difference
from condseg_mmseg.evaluation.groups import read_groups
from condseg_mmseg.evaluation.sizes import size_groups
from condseg_mmseg.utils.errors import UserError
from condseg_mmseg.utils.tables import number, table

OBJECTS = ('object_recall', 'object_precision')
SIZES = ('small', 'medium', 'large')


def over_seeds(values: np.ndarray, digits: int = 1) -> str:
    """Mean and standard deviation over the seeds of scores of shape (seeds, images)."""
    means = np.nanmean(values, axis=1)
    spread = f' ± {number(means.std(ddof=1), digits)}' if len(means) > 1 else ''
    return f'{number(means.mean(), digits)}{spread}'


def interval(values: np.ndarray, groups: Sequence[str] | None) -> str:
    """95 % interval of the mean of scores of shape (seeds, images), for new groups and trainings.

    With one seed it is that of the trained network.
    """
    few = len(values) < 2
    found = mean_difference(values, np.zeros_like(values), groups, fixed_seeds=few)
    return f'{number(found.low, 1)} .. {number(found.high, 1)}{" (this network)" if few else ""}'


def false_alarms(runs: Sequence[Trained]) -> list[str]:
    """Cells: share of the crops without a polyp that get a mark, and mean share of their pixels."""
    areas = []
    for run in runs:
        path = run.path.with_name(f'{run.path.stem}_polyp_free.csv')
        with path.open(encoding='utf-8') as file:
            counts = [(int(row['fp']), int(row['tn'])) for row in csv.DictReader(file)]
        areas.append([100 * fp / (fp + tn) for fp, tn in counts])
    marked = np.array(areas)
    return [over_seeds(100.0 * (marked > 0)), over_seeds(marked, 2)]


@functools.cache
def _gmac() -> dict[str, float]:
    """Config -> multiply-adds of one image in 1e9, as the metafiles have them."""
    files = sorted((ROOT / 'configs').glob('*/metafile.yml'))
    metafiles = [yaml.safe_load(path.read_text(encoding='utf-8')) for path in files]
    models = [model for metafile in metafiles for model in metafile['Models']]
    return {model['Name']: model['Metadata']['FLOPs'] / 1e9 for model in models}


def step_seconds(run: Trained, root: Path) -> str:
    """Seconds per step of the run's configs, as step_times.py measured them."""
    path = root / 'docs/results/comparison/steps.json'
    seconds = json.loads(path.read_text(encoding='utf-8'))['seconds']
    return ', then '.join(number(seconds.get(config)) for config in run.record['configs'])


def scores_table(runs: Runs, root: Path, kind: str = '') -> str:
    """Scores of the last checkpoints; those on Kvasir-SEG with the best epoch and the costs."""
    head = ['method', 'seeds', 'mDice', '95 % interval', 'mIoU', 'weighted F', 'MAE']
    head += ['objects found', 'marks right', *SIZES]
    if not kind:
        head += ['crops with a false alarm', 'their area', 'best epoch: mDice', 's per step']
        head += ['parameters (M)', 'GMAC']
    rows = []
    for label, found in runs.items():
        first, dice = found[0].scores(kind), stacked(found, kind)
        assert first.pixels is not None
        true, size = first.pixels.T
        groups, _ = size_groups(np.stack([true, 0 * true, 0 * true, size - true], axis=1))
        row = [label, ', '.join(str(run.record['seed']) for run in found), over_seeds(dice)]
        row.append(interval(dice, videos(first.names, root, kind)))
        row += [over_seeds(stacked(found, kind, s)) for s in ('iou', 'weighted_f', 'mae', *OBJECTS)]
        row += [over_seeds(dice[:, groups == name]) for name in SIZES]
        if not kind:
            row += [*false_alarms(found), over_seeds(stacked(found, '_best'))]
            row.append(step_seconds(found[0], root))
            record = found[0].record
            row += [number(record['parameters_m']), number(_gmac()[record['configs'][-1]])]
        rows.append(row)
    return table(head, rows, aligned=False)


def videos(names: Sequence[str], root: Path, kind: str) -> list[str] | None:
    """Sequence of each unseen frame; None for the 120 images, each of which is its own group."""
    path = root / 'configs' / 'splits' / 'cvc-clinicdb' / 'sequences.csv'
    return read_groups(path, names) if kind == '_unseen' else None


def difference(a: Sequence[Trained], b: Sequence[Trained], root: Path, kind: str = '') -> list[str]:
    """Cells: mDice of A less that of B, its interval, and what the test could have found."""
    names = a[0].scores(kind).names
    if b[0].scores(kind).names != names:
        raise UserError(f'{a[0].path} and {b[0].path} were scored on different images')
    few, groups = min(len(a), len(b)) < 2, videos(names, root, kind)
    found = mean_difference(stacked(a, kind), stacked(b, kind), groups, fixed_seeds=few)
    between = f'{number(found.low, 1, True)} .. {number(found.high, 1, True)}'
    return [
        number(found.difference, 1, True),
        between + (' (these networks)' if few else ''),
        number(found.detectable, 1),
    ]


def differences(runs: Runs, ours: str, root: Path) -> str:
    """Table of one method less each of the others, on both data sets."""
    part = ['less', '95 % interval', 'detectable']
    head = ['method', *(f'120: {name}' for name in part), *(f'unseen: {name}' for name in part)]
    rows = [
        [f'{ours} less {label}', *difference(runs[ours], found, root),
         *difference(runs[ours], found, root, '_unseen')]
        for label, found in runs.items() if label != ours
    ]  # fmt: skip
    return table(head, rows, aligned=False)
