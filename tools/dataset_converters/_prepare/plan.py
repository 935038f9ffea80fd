"""What a data set will consist of: pairs of files and lists of names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from condseg_mmseg.datasets.files import has_image_suffix

from .findings import Findings, count, some
from .sources import Entry


@dataclass(frozen=True)
class Pair:
    """An image, its mask, and the name that both get."""

    name: str
    image: Entry
    mask: Entry


@dataclass
class Plan:
    """What a recipe makes of the files.

    Attributes:
        pairs: Images and masks, by name.
        lists: Names by list file (``'train.txt'``), in the order in which they are written.
        threshold: A mask's pixel is foreground above it; None: above 0 in any channel.
        split: What ``dataset.json`` says about the split: its origin, rule, parameters.
        details: What it says about single images: patient, grade, sequence.
        expected: Images of the whole data set, by list file. None where nobody knows.
        parameters: What else decided which files were taken.
        strict_masks: A mask whose values do not fit is an error, not a warning.
    """

    pairs: list[Pair]
    lists: dict[str, list[str]]
    threshold: int | None = 127
    split: dict = field(default_factory=dict)
    details: dict[str, dict] = field(default_factory=dict)
    expected: dict[str, int] | None = None
    parameters: dict = field(default_factory=dict)
    strict_masks: bool = False


def natural(name: str) -> list:
    """Sort key by which ``x_2`` comes before ``x_10``."""
    return [int(part) if part.isdigit() else part for part in re.split(r'(\d+)', name)]


def stem(path: str) -> str:
    """Return a path without its ending."""
    head, dot, ending = path.rpartition('.')
    return head if dot and '/' not in ending else path


def images_of(entries: Iterable[Entry]) -> list[Entry]:
    """Return the entries that are images by their ending."""
    return [entry for entry in entries if has_image_suffix(entry.path)]


def in_folder(entries: Iterable[Entry], *names: str) -> list[tuple[str, Entry]]:
    """Return the images that lie directly in a folder of one of these names, with their stems.

    Args:
        entries: Any entries.
        names: Names of the folder, compared without case, spaces, ``_`` and ``-``.
    """
    return [
        (stem(entry.name), entry)
        for entry in images_of(entries)
        if re.sub('[ _-]', '', entry.folders[-1].lower()) in names
    ]


def match(
    images: Sequence[tuple[str, Entry]],
    masks: Sequence[tuple[str, Entry]],
    findings: Findings,
    key: Callable[[str], object] = str,
) -> list[Pair]:
    """Pair images and masks by name.

    Args:
        images: Name and file.
        masks: Name and file.
        findings: Gets what is ambiguous or without partner.
        key: Sort key of a name. Default: the name.

    Returns:
        The unambiguous pairs, sorted.
    """
    found = [
        _by_name(files, kind, findings) for files, kind in ((images, 'image'), (masks, 'mask'))
    ]
    of_image, of_mask = found
    for one, other, text in (
        (of_image, of_mask, '{} without mask: {}'),
        (of_mask, of_image, '{} without image: {}'),
    ):
        alone = [entries[0] for name, entries in one.items() if name not in other]
        if alone:
            noun = 'image' if one is of_image else 'mask'
            findings.gap(text.format(count(len(alone), noun), some(alone)))
    folded: dict[str, str] = {}
    for name in of_image:
        if name != name.strip() or re.search(r'[\r\n]', name):
            findings.error(f'the name {name!r} would not survive in a list: white space at its end')
        other = folded.setdefault(name.lower(), name)
        if other != name:
            findings.error(f'the names {other!r} and {name!r} differ in case only; rename one')
    names = sorted(of_image.keys() & of_mask.keys(), key=lambda name: (key(name), name))
    if not names and not findings.problems:
        findings.error('no pair of image and mask was found; see --help for the layout')
    return [Pair(name, of_image[name][0], of_mask[name][0]) for name in names]


def _by_name(
    files: Sequence[tuple[str, Entry]], kind: str, findings: Findings
) -> dict[str, list[Entry]]:
    by_name: dict[str, list[Entry]] = {}
    for name, entry in files:
        by_name.setdefault(name, []).append(entry)
    for name, entries in by_name.items():
        if len(entries) > 1:
            findings.error(f'{kind} {name!r} is ambiguous: {some(entries)}')
    return by_name


def restrict(
    pairs: Sequence[Pair],
    lists: Mapping[str, Sequence[str]],
    findings: Findings,
    what: str,
) -> tuple[list[Pair], dict[str, list[str]]]:
    """Bring pairs and known lists together.

    Args:
        pairs: What is there.
        lists: The names of the whole data set, by list file.
        findings: Gets what is missing on either side.
        what: The lists, in words.

    Returns:
        The pairs that a list names, and the lists without missing and without empty ones.
    """
    there = {pair.name for pair in pairs}
    known = {name for names in lists.values() for name in names}
    kept = {file: [name for name in names if name in there] for file, names in lists.items()}
    missing = sorted(known - there, key=natural)
    if missing:
        findings.gap(f'{len(missing)} of {len(known)} names of {what} are missing: {some(missing)}')
    strange = [pair.image for pair in pairs if pair.name not in known]
    if strange:
        findings.gap(f'{count(len(strange), "image")} not in {what}: {some(strange)}')
    pairs = [pair for pair in pairs if pair.name in known]
    return pairs, {file: names for file, names in kept.items() if names}


def check_counts(plan: Plan, findings: Findings) -> None:
    """Compare the lists with the known size of the whole data set."""
    for file, expected in (plan.expected or {}).items():
        there = len(plan.lists.get(file, []))
        if there != expected:
            findings.gap(f'{file}: {there} of {expected} images')
