"""The committed files of finished runs, which evidence.py writes and the tables are made from."""

from __future__ import annotations

import csv
import functools
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from run_queue import EXTRA

from condseg_mmseg.evaluation.score_file import ScoreFile, read_scores
from condseg_mmseg.utils.errors import UserError

COUNTS = ('tp', 'fp', 'fn', 'tn')  # tp + fn is the size of the object


class Trained(NamedTuple):
    """A finished run."""

    record: Mapping[str, Any]
    path: Path

    def scores(self, kind: str = '') -> ScoreFile:
        """Scores of every image; ``kind`` is the end of the file's name, such as ``_unseen``."""
        file = self.path.with_name(f'{self.path.stem}{kind}.csv')
        return _read(file, file.stat().st_mtime_ns if file.exists() else 0)


@functools.cache
def _read(file: Path, changed: int) -> ScoreFile:
    return read_scores(file)


Runs = dict[str, list[Trained]]


def finished(folder: Path) -> Runs:
    """Label -> its finished runs by seed, of a folder of docs/results/comparison."""
    runs = [Trained(json.loads(path.read_text(encoding='utf-8')), path)
            for path in sorted(folder.glob('*.json'))]  # fmt: skip
    found: Runs = {}
    for run in sorted(runs, key=lambda run: run.record['seed']):
        found.setdefault(run.record['label'], []).append(run)
    return found


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


def compact(scores: str) -> str:
    """Take from a CSV file of ``PerImageBinaryMetric`` what the tables need.

    Args:
        scores: Its text.

    Returns:
        Name of the image, counts, and scores to a thousandth of a percent.
    """
    columns = ('img_path', *COUNTS, 'dice', 'iou', *EXTRA)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator='\n')
    writer.writerow(columns)
    for row in csv.DictReader(io.StringIO(scores)):
        values = [row[name] and f'{float(row[name]):.3f}' for name in columns[5:]]
        writer.writerow([Path(row['img_path']).stem, *(row[name] for name in COUNTS), *values])
    return text.getvalue()
