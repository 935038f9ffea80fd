"""What a data set will consist of: pairs of files and lists of names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from condseg_mmseg.datasets.files import has_image_suffix
from condseg_mmseg.utils.findings import Findings
from condseg_mmseg.utils.text import count

from .problems import some
from .sources import Entry

Named = tuple[str, Entry]
"""A file, after the name that it will get."""


@dataclass(frozen=True)
class Pair:
    """An image, its mask, and the name that both get."""

    name: str
    image: Entry
    mask: Entry


@dataclass
class Plan:
    """What a recipe makes of the files."""

    pairs: list[Pair]
    lists: dict[str, list[str]]  # names by list file ('train.txt'), in the order of the file
    threshold: int | None = 127  # foreground is above it; None: above 0 in any channel
    # What dataset.json says about the split (origin, rule, parameters) and about single images
    # (patient, grade, sequence).
    split: dict[str, Any] = field(default_factory=dict)
    details: dict[str, dict[str, str]] = field(default_factory=dict)
    expected: dict[str, int] | None = None  # images of the whole data set by list file, if known
    parameters: dict[str, Any] = field(default_factory=dict)  # what else chose the files
    strict_masks: bool = False  # a mask whose values do not fit is an error, not a warning
    judge_set: bool = True  # so are masks that are all empty, all full, or mostly inverted


def natural(name: object) -> list[Any]:
    """Sort key by which ``x_2`` comes before ``x_10``."""
    return [int(part) if part.isdigit() else part for part in re.split(r'(\d+)', str(name))]


def stem(path: str) -> str:
    """Return a path without its ending."""
    head, dot, ending = path.rpartition('.')
    return head if dot and '/' not in ending else path


def images_of(entries: Iterable[Entry]) -> list[Entry]:
    """Return the entries that are images by their ending."""
    return [entry for entry in entries if has_image_suffix(entry.path)]


def in_folder(entries: Iterable[Entry], name: str) -> list[Named]:
    """Return the images directly in a folder of this name (no case, spaces, ``_``, ``-``)."""
    return [
        (stem(entry.name), entry)
        for entry in images_of(entries)
        if re.sub('[ _-]', '', entry.folders[-1].lower()) == name
    ]


def match(
    images: Sequence[Named],
    masks: Sequence[Named],
    findings: Findings,
    key: Callable[[str], Any] = str,
) -> list[Pair]:
    """Pair images and masks by name; report what is ambiguous or without partner.

    Args:
        images: Images by name.
        masks: Masks by name.
        findings: Gets what is wrong.
        key: Sort key of names. Default: as text.

    Returns:
        The pairs, sorted.
    """
    of_image = _by_name(images, 'image', findings)
    of_mask = _by_name(masks, 'mask', findings)
    for noun, partner, one, other in (
        ('image', 'mask', of_image, of_mask),
        ('mask', 'image', of_mask, of_image),
    ):
        alone = [entry for name, entry in one.items() if name not in other]
        if alone:
            findings.add('gap', f'{count(len(alone), noun)} without {partner}: {some(alone)}')
    folded: dict[str, str] = {}
    for name in of_image:
        if name != name.strip() or re.search('[\r\n\ud800-\udfff]', name):
            text = (
                f'the name {name!r} would not survive in a list: white space at its end, or a line '
                'break or a byte that is no UTF-8 in it'
            )
            findings.add('problem', text)
        other_name = folded.setdefault(name.lower(), name)
        if other_name != name:
            text = f'the names {other_name!r} and {name!r} differ in case only; rename one'
            findings.add('problem', text)
    names = sorted(of_image.keys() & of_mask.keys(), key=lambda name: (key(name), name))
    if not names and not findings.of('error'):
        text = 'no pair of image and mask was found; see --help for the layout'
        findings.add('problem', text)
    return [Pair(name, of_image[name], of_mask[name]) for name in names]


def _by_name(files: Sequence[Named], kind: str, findings: Findings) -> dict[str, Entry]:
    by_name: dict[str, list[Entry]] = {}
    for name, entry in files:
        by_name.setdefault(name, []).append(entry)
    for name, entries in by_name.items():
        if len(entries) > 1:
            findings.add('problem', f'{kind} {name!r} is ambiguous: {some(entries)}')
    return {name: entries[0] for name, entries in by_name.items()}


def restrict(
    pairs: Sequence[Pair], lists: Mapping[str, Sequence[str]], findings: Findings, what: str
) -> tuple[list[Pair], dict[str, list[str]]]:
    """Bring what is there and the names of the whole data set together.

    Args:
        pairs: What is there.
        lists: Names of the whole data set by list file.
        findings: Gets what is missing, and what no list names.
        what: Name of the lists, for messages.

    Returns:
        The pairs that a list names, and the lists without missing names and without empty ones.
    """
    there = {pair.name for pair in pairs}
    known = {name for names in lists.values() for name in names}
    kept = {file: [name for name in names if name in there] for file, names in lists.items()}
    missing = sorted(known - there, key=natural)
    if missing:
        text = f'{len(missing)} of {len(known)} names of {what} are missing: {some(missing)}'
        findings.add('gap', text)
    strange = [pair.image for pair in pairs if pair.name not in known]
    if strange:
        findings.add('gap', f'{count(len(strange), "image")} not in {what}: {some(strange)}')
    pairs = [pair for pair in pairs if pair.name in known]
    return pairs, {file: names for file, names in kept.items() if names}
