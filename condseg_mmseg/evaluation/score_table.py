"""The scores of all images: means, groups, intervals and the CSV file."""

from __future__ import annotations

import csv
import os
import os.path as osp
import tempfile
from dataclasses import dataclass

import numpy as np

from .bootstrap import bootstrap_interval
from .functional import mean_scores
from .sizes import SIZE_GROUPS, size_groups


@dataclass
class ScoreTable:
    """Scores of N images.

    Args:
        names: Paths of image and mask, N pairs.
        counts: Shape (N, 4): tp, fp, fn, tn.
        scores: Shape (N,) per score, NaN where undefined.
        groups: Size group of each image, shape (N,). Default None: not grouped.
        bounds: Terciles of the object's share, shape (2,). Default None.
    """

    names: list[tuple[str, str]]
    counts: np.ndarray
    scores: dict[str, np.ndarray]
    groups: np.ndarray | None = None
    bounds: np.ndarray | None = None

    def group_by_size(self) -> None:
        """Set ``groups`` and ``bounds``."""
        self.groups, self.bounds = size_groups(self.counts)

    def means(self) -> dict[str, float]:
        """Average each score over the images that have it."""
        return mean_scores(self.scores)

    def group_means(self) -> dict[str, dict[str, float]]:
        """Average each score in each group: small, medium, large, and empty if there is any."""
        assert self.groups is not None
        result = {}
        for group in SIZE_GROUPS:
            inside = self.groups == group
            if group != 'empty' or inside.any():
                result[group] = mean_scores({k: v[inside] for k, v in self.scores.items()})
        return result

    def intervals(self, resamples: int, seed: int) -> dict[str, tuple[float, float]]:
        """Compute the 95 % percentile interval of each mean."""
        values = np.stack(list(self.scores.values()), axis=1)
        ends = bootstrap_interval(values, resamples, seed)
        return {name: (float(a), float(b)) for name, a, b in zip(self.scores, *ends, strict=True)}

    def undefined(self) -> dict[str, int]:
        """Count the images that each score leaves out, for scores that leave any out."""
        counts = {name: int(np.isnan(values).sum()) for name, values in self.scores.items()}
        return {name: count for name, count in counts.items() if count}

    def describe_groups(self) -> str:
        """Say where the bounds of the groups lie and how many images each has."""
        assert self.groups is not None
        assert self.bounds is not None
        sizes = [int((self.groups == group).sum()) for group in SIZE_GROUPS]
        low, high = 100 * self.bounds
        return (
            f'size groups by the true share of the image: small up to {low:.2f} % ({sizes[0]} '
            f'images), medium up to {high:.2f} % ({sizes[1]}), large above ({sizes[2]}), '
            f'empty truth apart ({sizes[3]})'
        )

    def write(self, path: str) -> None:
        """Write one row per image: path, counts, scores, and the size group if there is one.

        The file is replaced at once, never half-written. Undefined scores are empty.

        Args:
            path: CSV file.
        """
        groups = None if self.groups is None else self.groups.tolist()
        temporary = f'{path}.{os.getpid()}.tmp'
        try:
            with open(temporary, 'w', newline='', encoding='utf-8') as file:
                writer = csv.writer(file)
                writer.writerow(
                    [
                        'img_path',
                        'tp',
                        'fp',
                        'fn',
                        'tn',
                        *self.scores,
                        *([] if groups is None else ['size']),
                    ]
                )
                for i, (name, _) in enumerate(self.names):
                    row = [values[i] for values in self.scores.values()]
                    row = ['' if np.isnan(value) else repr(float(value)) for value in row]
                    group = [] if groups is None else [groups[i]]
                    writer.writerow([name, *self.counts[i].tolist(), *row, *group])
            os.replace(temporary, path)
        finally:
            if osp.exists(temporary):  # the write failed
                os.unlink(temporary)


def prepare(csv_path: str) -> None:
    """Make the folder of ``csv_path`` and see that a file can be written there.

    Raises:
        ValueError: If it cannot.
    """
    folder = osp.dirname(osp.abspath(csv_path))
    try:
        os.makedirs(folder, exist_ok=True)
        if osp.isdir(csv_path):
            raise IsADirectoryError('it is a folder')
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(f'csv_path {csv_path!r} cannot be written: {error}') from error
