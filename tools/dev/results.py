"""Rebuild docs/results/comparison/README.md from the committed scores of every image.

    python tools/dev/results.py

Sections whose runs are not there yet are left out. Nothing is trained or scored.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from dev_common import ROOT
from evidence_runs import METHODS, OTHERS

from condseg_mmseg.evaluation.grouped_interval import mean_difference
from condseg_mmseg.evaluation.groups import read_groups
from condseg_mmseg.evaluation.score_file import ScoreFile, read_scores
from condseg_mmseg.evaluation.sizes import size_groups
from condseg_mmseg.utils.errors import UserError
from condseg_mmseg.utils.files import write_text
from condseg_mmseg.utils.tables import number, table

OURS = 'ConDSeg, two stages'
BASELINES = ('FPN', *OTHERS)
OBJECTS = ('object_recall', 'object_precision')
SIZES = ('small', 'medium', 'large')
# of Kvasir-SEG, as the paper of ConDSeg prints them: mIoU, mDice
PUBLISHED = {
    'U-Net': (65.5, 75.8), 'U-Net++': (67.9, 77.2), 'PraNet': (83.0, 89.4),
    'TGANet': (83.3, 89.8), 'CASF-Net': (81.7, 88.7), 'ConDSeg': (84.6, 90.5),
}  # fmt: skip


class Trained(NamedTuple):
    """A finished run."""

    record: Mapping[str, Any]
    path: Path

    def scores(self, kind: str = '') -> ScoreFile:
        """Scores of every image; ``kind`` is the end of the file's name, such as ``_unseen``."""
        return read_scores(self.path.with_name(f'{self.path.stem}{kind}.csv'))


Runs = dict[str, list[Trained]]


def finished(part: str, root: Path) -> Runs:
    """Label -> its runs by seed, labels in the order of the plan."""
    found: Runs = {}
    for path in sorted((root / 'docs/results/comparison' / part).glob('*.json')):
        run = Trained(json.loads(path.read_text(encoding='utf-8')), path)
        found.setdefault(run.record['label'], []).append(run)
    order = list(METHODS)
    labels = sorted(found, key=lambda label: order.index(label) if label in order else len(order))
    return {label: sorted(found[label], key=lambda run: run.record['seed']) for label in labels}


def stacked(runs: Sequence[Trained], kind: str = '', score: str = 'dice') -> np.ndarray:
    """A score of every image, shape (seeds, images).

    Raises:
        UserError: The runs were not scored on the same images.
    """
    files = [run.scores(kind) for run in runs]
    for file in files:
        if file.names != files[0].names:
            raise UserError(f'{file.path} and {files[0].path} hold different images')
    return np.stack([file.scores[score] for file in files])


def over_seeds(values: np.ndarray, digits: int = 1) -> str:
    """Mean and standard deviation over the seeds of scores of shape (seeds, images)."""
    means = np.nanmean(values, axis=1)
    spread = f' ± {number(means.std(ddof=1), digits)}' if len(means) > 1 else ''
    return f'{number(means.mean(), digits)}{spread}'


def search(root: Path) -> str:
    """Table of the trials."""
    rows = []
    for label, (run,) in finished('search', root).items():
        values = [
            number(run.scores(kind).scores[score].mean(), 1)
            for kind in ('_unaveraged', '') for score in ('dice', 'iou')
        ]  # fmt: skip
        rows.append([label, *values])
    if not rows:
        return ''
    head = ['trial', 'mDice', 'mIoU', 'averaged: mDice', 'mIoU']
    return (
        '## Search\n\nTrained on 780 images for 6 epochs, seed 0; scores on 100 others. Trials are '
        f'compared by the first column.\n\n{table(head, rows, aligned=False)}'
    )


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


def gmac(run: Trained) -> float:
    """Multiply-adds of one image in 1e9, as the metafile of its config has them."""
    for path in sorted((ROOT / 'configs').glob('*/metafile.yml')):
        for model in yaml.safe_load(path.read_text(encoding='utf-8'))['Models']:
            if model['Name'] == run.record['configs'][-1]:
                return model['Metadata']['FLOPs'] / 1e9
    raise UserError(f'{run.path}: no metafile has its config, {run.record["configs"][-1]}')


def step_seconds(run: Trained, root: Path) -> str:
    """Seconds per step of the run's configs, as step_times.py measured them."""
    path = root / 'docs/results/comparison/steps.json'
    seconds = json.loads(path.read_text(encoding='utf-8'))['seconds']
    return ', then '.join(number(seconds[config]) for config in run.record['configs'])


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
            row += [number(found[0].record['parameters_m']), number(gmac(found[0]))]
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


def primary(runs: Runs, root: Path) -> str:
    """The comparison that the plan fixes; '' before it can be made."""
    if OURS not in runs or any(label not in runs for label in BASELINES):
        return ''
    best = max(BASELINES, key=lambda label: stacked(runs[label]).mean())
    less, between, detectable = difference(runs[OURS], runs[best], root, '_unseen')
    return (
        f'**Primary comparison.** The baseline that is best on the 120 is {best}. On the unseen '
        f'videos {OURS} has {less} points of mDice, 95 % interval {between}; a difference of '
        f'{detectable} would have been found with a power of 80 %.'
    )


def comparison(root: Path) -> str:
    """The main table, the unseen videos, differences and the primary comparison."""
    runs = finished('table', root)
    if not runs:
        return ''
    published = [[name, number(dice, 1), number(iou, 1)] for name, (iou, dice) in PUBLISHED.items()]
    parts = [
        '## Kvasir-SEG, 120 images', scores_table(runs, root),
        '## CVC-ClinicDB, 329 frames of 15 videos',
        scores_table(runs, root, '_unseen'), primary(runs, root),
        differences(runs, OURS, root) if len(runs) > 1 and OURS in runs else '',
        '## Published on Kvasir-SEG\n\nOf other networks, as the paper of ConDSeg prints them.',
        table(['network', 'mDice', 'mIoU'], published, aligned=False),
    ]  # fmt: skip
    return '\n\n'.join(filter(None, parts))


def others(root: Path) -> str:
    """What comes after the table: equal minutes, and the ablation."""
    runs, parts = finished('table', root), []
    ours = {label: runs[label] for label in ('ConDSeg', OURS) if label in runs}
    for part, title in (('minutes', 'At equal minutes'), ('ablation', 'Ablation')):
        if found := finished(part, root):
            found |= ours
            parts += [f'## {title}', scores_table(found, root), 'On the unseen videos:']
            parts.append(scores_table(found, root, '_unseen'))
    return '\n\n'.join(parts)


def page(root: Path = ROOT) -> str:
    """The whole page."""
    about = (
        '# Comparison\n\nWritten by `make results` from the scores of every image in this folder. '
        'The [plan](../plan.md) says\nwhat is compared and why, the [log](../log.md) what happened.'
        '\n\nPercent, per image at 160 x 160; mean ± standard deviation over seeds. Small, medium '
        'and large are\nmDice on thirds of the images by the size of the object. False alarms: '
        'share of the crops without\na polyp that get a mark, and mean share of their pixels.'
    )
    return '\n\n'.join(filter(None, [about, search(root), comparison(root), others(root)])) + '\n'


def main() -> int:
    """Write the page."""
    try:
        write_text(ROOT / 'docs' / 'results' / 'comparison' / 'README.md', page())
    except UserError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main())
