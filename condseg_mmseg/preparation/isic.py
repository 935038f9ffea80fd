"""ISIC 2016 and 2017, the lesion segmentation parts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from condseg_mmseg.utils.findings import Findings
from condseg_mmseg.utils.text import count, first

from .plan import Named, Pair, Plan, match, natural
from .sources import Entry

_IMAGE = re.compile(r'(ISIC_\d+)\.jpe?g', re.I)
_MASK = re.compile(r'(ISIC_\d+)_segmentation\.png', re.I)
_WORDS = dict(
    train='train', training='train', val='val', valid='val', validation='val', test='test'
)


def _split_of(entry: Entry) -> str:
    """Read the split from the innermost folder (or the archive) that names exactly one.

    ``ISBI2016_ISIC_Part1_Training_Data`` is train, ``ISIC-2017_Test_v2_Data`` is test.

    Returns:
        ``'train'``, ``'val'``, ``'test'`` or, if none does, ``''``.
    """
    for folder in reversed(entry.folders):
        words = re.findall('[a-z]+', folder.lower())
        found = {_WORDS[word] for word in words if word in _WORDS}
        if len(found) == 1:
            return found.pop()
    return ''


def _plan(
    year: int, sizes: Mapping[str, int], entries: Sequence[Entry], findings: Findings
) -> Plan:
    images: dict[str, list[Named]] = {split: [] for split in sizes}
    masks: dict[str, list[Named]] = {split: [] for split in sizes}
    nowhere: list[Named] = []
    for entry in entries:
        # Anything else, such as the ISIC_x_superpixels.png among the images, is left out.
        for pattern, files in ((_IMAGE, images), (_MASK, masks)):
            if found := pattern.fullmatch(entry.name):
                files.get(_split_of(entry), nowhere).append((found[1], entry))
    if nowhere:
        text = (
            f'{count(len(nowhere), "file")} of no split of ISIC {year}: '
            f'{first((entry for _, entry in nowhere), 3)}. Keep the names that archives and '
            'folders have at their owners, with Training, Validation or Test in them'
        )
        findings.add('problem', text)
    pairs: list[Pair] = []
    lists: dict[str, list[str]] = {}
    split_by_name: dict[str, str] = {}
    for split in sizes:
        if not images[split] and not masks[split]:
            continue
        matched = match(images[split], masks[split], findings, natural)
        if matched:
            lists[f'{split}.txt'] = [pair.name for pair in matched]
        for pair in matched:
            other = split_by_name.setdefault(pair.name, split)
            if other != split:
                findings.add('problem', f'{pair.name} is in {other} and in {split}')
        pairs += matched
    if not pairs and not findings.of('error'):
        findings.add('problem', 'no ISIC_x.jpg with its ISIC_x_Segmentation.png was found')
    expected = {f'{split}.txt': size for split, size in sizes.items()}
    for file, size in expected.items():
        there = len(lists.get(file, []))
        if there != size:
            findings.add('gap', f'{file}: {there} of {size} images')
    return Plan(pairs, lists, split=dict(origin='official, as distributed'), expected=expected)


def plan_isic2016(entries: Sequence[Entry], findings: Findings) -> Plan:
    """Plan ISIC 2016: 900 to train, 379 to test."""
    return _plan(2016, dict(train=900, test=379), entries, findings)


def plan_isic2017(entries: Sequence[Entry], findings: Findings) -> Plan:
    """Plan ISIC 2017: 2000 to train, 150 to validate, 600 to test."""
    return _plan(2017, dict(train=2000, val=150, test=600), entries, findings)
