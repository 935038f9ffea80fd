"""Pictures that are in more than one place: within a split, and across splits and data sets."""

from __future__ import annotations

import os.path as osp
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from condseg_mmseg.utils.findings import Findings

from .duplicates import TURNS, mask_agreement, near_pairs
from .scan import Scan
from .sources import Split

_NEAR = {
    'leakage': 'near-leakage',
    'overlap': 'near-overlap',
    'shared': 'near-duplicate',
    'duplicate': 'near-duplicate',
}
_MASKS_AGREE = 0.95  # IoU on the small grid
_Link = tuple[int, int, float, int]  # two pictures, their correlation, index into TURNS


def relation(first: str, second: str) -> str:
    """Name what it means that splits of two roles share a picture.

    Returns:
        ``'leakage'``: training against validation or test. ``'overlap'``: validation against
        test, or a role that is not known. ``'shared'``: the same role, in two data sets.
    """
    if 'other' in (first, second):
        return 'overlap'
    if first == second:
        return 'shared'
    return 'leakage' if 'train' in (first, second) else 'overlap'


class Pictures:
    """The pictures of a run: files with equal pixels are one picture.

    ``members`` holds the indices into ``scans`` for every split.
    """

    def __init__(
        self, splits: Sequence[Split], members: Sequence[Sequence[int]], scans: Sequence[Scan]
    ) -> None:
        self.splits, self.scans = splits, scans
        self.where: list[dict[int, list[int]]] = []  # picture -> split -> scans
        numbers: dict[str, int] = {}
        for place, indices in enumerate(members):
            for index in indices:
                scan = scans[index]
                if scan.image is None:
                    continue
                key = scan.digest or osp.realpath(scan.image)  # unreadable: only by its file
                number = numbers.setdefault(key, len(numbers))
                if number == len(self.where):
                    self.where.append({})
                self.where[number].setdefault(place, []).append(index)
        self.of_split = [
            {n for n, found in enumerate(self.where) if place in found}
            for place in range(len(splits))
        ]
        self.names = [
            {Path(scans[i].file).stem.lower(): n for n in found for i in self.where[n][place]}
            for place, found in enumerate(self.of_split)
        ]

    def first(self, picture: int) -> Scan:
        """Return one scan of a picture."""
        return self.scans[next(iter(self.where[picture].values()))[0]]

    def scan(self, picture: int, place: int) -> Scan:
        """Return one scan of a picture in a split."""
        return self.scans[self.where[picture][place][0]]

    def relation(self, a: int, b: int) -> str:
        """Name what it means that two splits (indices) share a picture."""
        roles = self.splits[a].role, self.splits[b].role
        for whole, part, role in ((a, b, roles[0]), (b, a, roles[1])):
            # A list of unknown use that holds all of another one is a list of everything.
            inside = self.of_split[part]
            if role == 'other' and inside and self.of_split[whole] >= inside:
                return 'shared'
        return relation(*roles)

    def full_names(self, *places: int) -> tuple[str, ...]:
        """Return the full names of splits, each once."""
        return tuple(dict.fromkeys(self.splits[place].full_name for place in places))

    def pairs_of_splits(self) -> Iterator[tuple[int, int]]:
        """Return all pairs of splits."""
        return combinations(range(len(self.splits)), 2)


def _files(scans: Iterable[Scan]) -> list[str]:
    """Return the image files, each once however it is spelt."""
    return list({osp.realpath(scan.file): scan.file for scan in scans}.values())


def _masks(scans: Sequence[Scan]) -> str:
    """Say whether the masks of one picture agree."""
    values = [mask_agreement(scans[0].mask_thumb, scan.mask_thumb) for scan in scans[1:]]
    worst = min((value for value in values if value is not None), default=1.0)
    return '' if worst >= _MASKS_AGREE else f'; their masks differ (IoU {worst:.2f})'


def find_same(pictures: Pictures, findings: Findings) -> None:
    """Report pictures that are in several files or splits, and names that mean several pictures.

    Args:
        pictures: Of all splits.
        findings: Gets what is found.
    """
    for found in pictures.where:
        for place, indices in found.items():
            scans = [pictures.scans[i] for i in indices]
            files = _files(scans)
            if len(files) > 1:
                detail = f'{len(files)} files hold the same pixels{_masks(scans)}'
                findings.add('duplicate', detail, files, pictures.full_names(place))
        for a, b in combinations(sorted(found), 2):
            scans = [pictures.scans[i] for place in (a, b) for i in found[place]]
            files = _files(scans)
            what = 'the same file' if len(files) == 1 else 'the same pixels'
            names = pictures.full_names(a, b)
            findings.add(pictures.relation(a, b), what + _masks(scans), files, names)
    for a, b in pictures.pairs_of_splits():
        of_a, of_b = pictures.names[a], pictures.names[b]
        other = [
            name
            for name in sorted(set(of_a) & set(of_b))
            if of_a[name] not in pictures.of_split[b] and of_b[name] not in pictures.of_split[a]
        ]
        if other:
            files = [pictures.first(side[name]).file for name in other for side in (of_a, of_b)]
            detail = f'{len(other)} names are in both, with other pixels'
            findings.add('same-name', detail, files, pictures.full_names(a, b))


def find_near(
    pictures: Pictures, findings: Findings, distance: int, correlation: float
) -> dict[tuple[int, int], int]:
    """Report pictures that are nearly the same.

    Across splits there is one finding for each picture of the later one, with its best match;
    within a split one for each group of pictures.

    Args:
        pictures: Of all splits.
        findings: Gets what is found.
        distance: As of :func:`.duplicates.near_pairs`.
        correlation: As of :func:`.duplicates.near_pairs`; above 1 nothing is looked for.

    Returns:
        For each pair of splits the number of pictures of the second with a match in the first.
    """
    if correlation > 1:
        return {}
    numbers = [n for n in range(len(pictures.where)) if pictures.first(n).thumb is not None]
    thumbs = np.array([pictures.first(n).thumb for n in numbers]).reshape(len(numbers), 32, 32)
    pairs, values, turns = near_pairs(thumbs, distance, correlation)
    best: dict[tuple[int, int, int], tuple[float, int, int]] = {}
    within: dict[int, list[_Link]] = defaultdict(list)
    for (i, j), value, turn in zip(pairs, values.tolist(), turns.tolist(), strict=True):
        first, second = numbers[i], numbers[j]
        for p, q in ((first, second), (second, first)):
            for a in pictures.where[p]:
                for b in pictures.where[q]:
                    if a == b and p == first:
                        within[a].append((p, q, value, turn))
                    # a picture that is in both splits has its finding already
                    if a < b and q not in pictures.of_split[a]:
                        best[a, b, q] = max(best.get((a, b, q), (0.0, 0, 0)), (value, p, turn))
    counts: dict[tuple[int, int], int] = defaultdict(int)
    for (a, b, q), (value, p, turn) in sorted(best.items()):
        counts[a, b] += 1
        scans = [pictures.scan(p, a), pictures.scan(q, b)]
        detail = f'correlation {value:.3f}' + (f', {TURNS[turn]}' if turn else _masks(scans))
        kind = _NEAR[pictures.relation(a, b)]
        findings.add(kind, detail, _files(scans), pictures.full_names(a, b))
    for place, links in sorted(within.items()):
        for group, least in _groups(links):
            at = {n: pictures.scan(n, place) for n in group}
            inside = [(at[p], at[q]) for p, q, _, turn in links if p in at and not turn]
            differ = next(filter(None, map(_masks, inside)), '')
            more = ' or more from one to the next' if len(group) > 2 else ''
            detail = f'{len(group)} pictures, correlation {least:.3f}{more}{differ}'
            findings.add('near-duplicate', detail, _files(at.values()), pictures.full_names(place))
    return counts


def _groups(links: Sequence[_Link]) -> list[tuple[list[int], float]]:
    """Return the connected groups of pictures, and the weakest link of each."""
    parent: dict[int, int] = {}

    def root(n: int) -> int:
        while parent.setdefault(n, n) != n:
            parent[n] = n = parent[parent[n]]
        return n

    for p, q, *_ in links:
        parent[root(p)] = root(q)
    groups: dict[int, list[int]] = defaultdict(list)
    for n in sorted(parent):
        groups[root(n)].append(n)
    least: dict[int, float] = {}
    for p, _, value, _ in links:
        least[root(p)] = min(value, least.get(root(p), 1.0))
    return [(group, least[top]) for top, group in groups.items()]


def overlaps(pictures: Pictures, near: dict[tuple[int, int], int]) -> list[dict[str, Any]]:
    """Count what each pair of splits shares; pairs that share nothing are left out.

    Args:
        pictures: Of all splits.
        near: From :func:`find_near`: pictures of ``b`` that are nearly the same as one of ``a``.
    """
    table = []
    for a, b in pictures.pairs_of_splits():
        names = len(set(pictures.names[a]) & set(pictures.names[b]))
        same, alike = len(pictures.of_split[a] & pictures.of_split[b]), near.get((a, b), 0)
        if names or same or alike:
            row = dict(a=pictures.splits[a].full_name, b=pictures.splits[b].full_name)
            kind = pictures.relation(a, b) if same or alike else 'same-name'
            table.append(row | dict(same_name=names, same_picture=same, near=alike, kind=kind))
    return table
