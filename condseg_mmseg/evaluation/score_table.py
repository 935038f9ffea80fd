"""The scores of all images: means, groups, intervals and the CSV file."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..utils.files import replaced_at_once
from .bootstrap import bootstrap_interval
from .functional import COUNTS, mean_scores
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

    def write(self, path: str | Path) -> None:
        """Write one row per image: path, counts, scores, and the size group if there is one.

        The file is replaced at once, never half-written. Undefined scores are empty.

        Args:
            path: CSV file. Its folder is made.
        """
        header = ['img_path', *COUNTS, *self.scores]
        columns = [self.counts, *self.scores.values()]
        rows = zip((name for name, _ in self.names), *columns, strict=True)
        sizes = [[]] * len(self.names) if self.groups is None else self.groups[:, None].tolist()
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with (
            replaced_at_once(path) as temporary,
            temporary.open('w', newline='', encoding='utf-8') as file,
        ):
            writer = csv.writer(file)
            writer.writerow(header if self.groups is None else [*header, 'size'])
            for (name, counts, *scores), size in zip(rows, sizes, strict=True):
                cells = ['' if np.isnan(score) else repr(float(score)) for score in scores]
                writer.writerow([name, *counts.tolist(), *cells, *size])
