"""What a training came to: its scores and its time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

import condseg_mmseg  # noqa: F401 - allows the safe load of checkpoints

SCORES = ('image/mDice', 'image/mIoU', 'image/mRecall', 'image/mPrecision')
EPOCHS = ('best', 'last')
Result = dict[str, Any]


def read_rows(work_dir: Path) -> list[Result]:
    """All scalars of a working directory of mmengine, in the order of training.

    Where a run was resumed, its rows replace those that it repeats. Test runs are left out.
    """
    rows: dict[tuple[bool, int], Result] = {}
    for path in sorted(work_dir.glob('*/vis_data/scalars.json')):
        found = [json.loads(line) for line in path.read_text(encoding='utf-8').splitlines()]
        losses = [row for row in found if 'loss' in row]
        if not losses:
            continue
        # training rows count iterations, those of a validation epochs
        first = {True: losses[0]['step'], False: losses[0].get('epoch', 0)}
        rows = {key: row for key, row in rows.items() if key[1] < first[key[0]]}
        rows |= {('loss' in row, row['step']): row for row in found}
    return list(rows.values())


def summarize(work_dir: Path) -> Result:
    """Summarize one training.

    Args:
        work_dir: Working directory of mmengine.

    Returns:
        ``iterations``, ``epochs``, ``seconds_per_iteration``, ``training_minutes``, and the scores
        of the ``best`` (by ``image/mIoU``) and of the ``last`` epoch, in percent.

    Raises:
        ValueError: It holds no training that was validated.
    """
    rows = read_rows(work_dir)
    train = [row for row in rows if 'loss' in row]
    val = [row for row in rows if SCORES[0] in row]
    if not train or not val:
        raise ValueError(f'{work_dir} holds no validation scores ({SCORES[0]})')
    steps = [0, *(row['step'] for row in train)]
    seconds = sum(
        row['time'] * (now - before)
        for row, before, now in zip(train, steps[:-1], steps[1:], strict=True)
    )
    best = max(val, key=lambda row: row['image/mIoU'])
    # the last iterations of an epoch need not be logged
    iterations = max([steps[-1], *map(_iterations, work_dir.glob('epoch_*.pth'))])
    scores = {
        name: {'epoch': row['step'], **{key: round(row[key], 2) for key in SCORES}}
        for name, row in zip(EPOCHS, (best, val[-1]), strict=True)
    }
    return dict(
        iterations=iterations, epochs=train[-1]['epoch'],
        seconds_per_iteration=round(seconds / steps[-1], 3),
        training_minutes=round(seconds / 60, 1), **scores,
    )  # fmt: skip


def _iterations(checkpoint: Path) -> int:
    content = torch.load(checkpoint, map_location='cpu', weights_only=True, mmap=True)
    return content['meta']['iter']
