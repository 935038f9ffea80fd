"""Rebuild the tables of docs/results from the committed scores of every image.

    python tools/dev/results.py

It writes docs/results/comparison/README.md, and what is between the lines <!-- results --> and
<!-- /results --> of docs/results/uncertainty/README.md and, once every method has a run, of
README.md.
Sections whose runs are not there yet are left out. Nothing is trained or scored.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import run_files
from dev_common import ROOT, replace_block
from evidence_runs import BASELINES, LITE2, METHODS, SEEDS
from results_tables import (
    difference,
    differences,
    interval,
    over_seeds,
    scores_table,
    step_seconds,
    videos,
)  # fmt: skip
from run_files import Runs, stacked

from condseg_mmseg.utils.errors import UserError
from condseg_mmseg.utils.files import write_text
from condseg_mmseg.utils.tables import number, table

OURS, *_ = METHODS  # ConDSeg in two stages
OF_OURS = ('ConDSeg', OURS)
MAPS = {
    'third map': "SID's third map", 'entropy': 'entropy of the prediction',
    'sid': "1 - \\|p_fg - p_bg\\| of SID's other two",
}  # fmt: skip
# of Kvasir-SEG, as the paper of ConDSeg prints them: mIoU, mDice
PUBLISHED = {
    'U-Net': (65.5, 75.8), 'U-Net++': (67.9, 77.2), 'PraNet': (83.0, 89.4),
    'TGANet': (83.3, 89.8), 'CASF-Net': (81.7, 88.7), 'ConDSeg': (84.6, 90.5),
}  # fmt: skip


def finished(part: str, root: Path) -> Runs:
    """Label -> its runs by seed, labels in the order of the plan."""
    found = run_files.finished(root / 'docs/results/comparison' / part)
    order = list(METHODS)
    labels = sorted(found, key=lambda label: order.index(label) if label in order else len(order))
    return {label: found[label] for label in labels}


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


def primary(runs: Runs, root: Path) -> str:
    """The comparison that the plan fixes; '' before it can be made."""
    if OURS not in runs or any(label not in runs for label in BASELINES):
        return ''
    best = max(BASELINES, key=lambda label: stacked(runs[label]).mean())
    less, between, detectable = difference(runs[OURS], runs[best], root, '_unseen')
    whole = all(len(runs[label]) == len(SEEDS) for label in (OURS, *BASELINES))
    title = 'Primary comparison' + ('' if whole else ', before all seeds are there')
    return (
        f'**{title}.** The baseline that is best on the 120 is {best}. On the unseen '
        f'videos {OURS} has {less} points of mDice, 95 % interval {between}; a difference of '
        f'{detectable} would have been found with a power of 80 %.'
    )


def to_ship(runs: Runs) -> str:
    """Which weights are the best ConDSeg on the 120; '' before there is one."""
    ours = [run for label in OF_OURS for run in runs.get(label, ())]
    if not ours:
        return ''
    best = max(ours, key=lambda run: run.scores().scores['dice'].mean())
    dice = number(best.scores().scores['dice'].mean(), 1)
    return (
        f'The ConDSeg that is best on the 120 is {best.record["label"]}, seed '
        f'{best.record["seed"]}: mDice {dice}. Its weights are those to ship.'
    )


def comparison(root: Path) -> str:
    """The main table, the unseen videos, differences and the primary comparison."""
    runs = finished('table', root)
    if not runs:
        return ''
    published = [[name, number(dice, 1), number(iou, 1)] for name, (iou, dice) in PUBLISHED.items()]
    parts = [
        '## Kvasir-SEG, 120 images', scores_table(runs, root), to_ship(runs),
        '## CVC-ClinicDB, 329 frames of 15 videos',
        scores_table(runs, root, '_unseen'), primary(runs, root),
        differences(runs, OURS, root) if len(runs) > 1 and OURS in runs else '',
        '## Kvasir-SEG, the 120 images in other light', scores_table(runs, root, '_light'),
        '## Published on Kvasir-SEG\n\nOf other networks, as the paper of ConDSeg prints them.',
        table(['network', 'mDice', 'mIoU'], published, aligned=False),
    ]  # fmt: skip
    return '\n\n'.join(filter(None, parts))


def others(root: Path) -> str:
    """What comes after the table: equal minutes, the ablation, the larger encoder."""
    runs, parts = finished('table', root), []
    larger, *_ = LITE2
    for part, title, beside, ours in (
        ('minutes', 'At equal minutes', OF_OURS, OURS),
        ('ablation', 'Ablation', OF_OURS, OURS),
        ('lite2', 'EfficientNet-Lite2', (OURS, 'FPN'), larger),
    ):
        if found := finished(part, root):
            found |= {label: runs[label] for label in beside if label in runs}
            parts += [f'## {title}', scores_table(found, root), 'On the unseen videos:']
            parts.append(scores_table(found, root, '_unseen'))
            parts.append(differences(found, ours, root) if ours in found else '')
    return '\n\n'.join(filter(None, parts))


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


def readme(root: Path = ROOT) -> str:
    """The block of README.md: the table; '' before every method has a run."""
    runs = finished('table', root)
    if runs.keys() != METHODS.keys():
        return ''
    head = ['method', '120 images: mDice', 'mIoU', 'unseen: mDice', 'mIoU']
    rows = []
    for label, found in runs.items():
        row = [label]
        for kind in ('', '_unseen'):
            dice = stacked(found, kind)
            between = interval(dice, videos(found[0].scores(kind).names, root, kind))
            iou = stacked(found, kind, 'iou').mean()
            row += [f'{number(dice.mean(), 1)} ({between})', number(iou, 1)]
        costs = [number(found[0].record['parameters_m']), step_seconds(found[0], root)]
        rows.append([*row, *costs])
    steps = json.loads((root / 'docs/results/comparison/steps.json').read_text(encoding='utf-8'))
    made = steps['made_with']
    seeds = ', '.join(sorted({str(run.record['seed']) for found in runs.values() for run in found}))
    parts = [
        'ConDSeg and five other decoders, each with EfficientNet-Lite0 at 160 x 160, trained for '
        'the same number\nof steps on 880 images of Kvasir-SEG, scored on its other 120 and on 329 '
        f'frames of CVC-ClinicDB, 15\nunseen videos. Percent, mean over seeds ({seeds}), with the '
        '95 % interval of mDice:',
        table([*head, 'parameters (M)', 's per step'], rows, aligned=False), primary(runs, root),
        f'A training step of 8 images: {made["machine"]["cpu"]}, {made["machine"]["threads"]} '
        f'thread, torch {made["versions"]["torch"]}.\n[All results, plan and log]'
        '(docs/results/README.md); scores of the shipped weights: [their card](weights/README.md).',
    ]  # fmt: skip
    return '\n\n'.join(filter(None, parts))


def uncertainty(root: Path = ROOT) -> str:
    """The block of docs/results/uncertainty/README.md: scores of each map, by network."""
    found: dict[str, list[dict[str, Any]]] = {}
    for path in sorted((root / 'docs/results/uncertainty').glob('*.json')):
        record = json.loads(path.read_text(encoding='utf-8'))
        found.setdefault(record['label'], []).append(record['sets'])
    head = ['network', 'map', '120 images: AUC', 'average precision', 'unseen: AUC']
    rows = []
    for label, runs in found.items():
        for name, title in MAPS.items():
            values = [
                [sets[key]['maps'][name][score] for sets in runs]
                for key in ('val', 'unseen')
                for score in ('auc', 'average_precision')
            ]
            cells = [over_seeds(np.array(value)[:, None], 3) for value in values]
            rows.append([f'{label} ({len(runs)})', title, *cells])
    return table([*head, 'average precision'], rows, aligned=False)


def main() -> int:
    """Write the pages."""
    folder = ROOT / 'docs' / 'results'
    try:
        write_text(folder / 'comparison' / 'README.md', page())
        for path, block in (
            (ROOT / 'README.md', readme()),
            (folder / 'uncertainty' / 'README.md', uncertainty()),
        ):
            if block:
                text = path.read_text(encoding='utf-8')
                write_text(path, replace_block(text, 'results', block))
    except UserError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main())
