"""ISIC 2016 and 2017, the lesion segmentation parts."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence

from .findings import Findings, count, some
from .plan import Plan, check_counts, match, natural
from .sources import Entry

_IMAGE = re.compile(r'(ISIC_\d+)\.jpe?g', re.I)
_MASK = re.compile(r'(ISIC_\d+)_segmentation\.png', re.I)
_WORDS = dict(
    train='train', training='train', val='val', valid='val', validation='val', test='test'
)
SIZES = {
    '2016': dict(train=900, test=379),
    '2017': dict(train=2000, val=150, test=600),
}


def split_of(entry: Entry) -> str:
    """Tell the split from the innermost folder (or the archive) that names exactly one.

    ``ISBI2016_ISIC_Part1_Training_Data`` is train, ``ISIC-2017_Test_v2_Data`` is test.

    Returns:
        ``'train'``, ``'val'``, ``'test'`` or, if nothing tells, ``''``.
    """
    for folder in reversed(entry.folders):
        words = re.findall('[a-z]+', folder.lower())
        found = {_WORDS[word] for word in words if word in _WORDS}
        if len(found) == 1:
            return found.pop()
    return ''


def _plan(year: str, entries: Sequence[Entry], findings: Findings) -> Plan:
    expected = SIZES[year]
    images = {split: [] for split in expected}
    masks = {split: [] for split in expected}
    nowhere = []
    for entry in entries:
        # Anything else, such as the ISIC_x_superpixels.png among the images, is left out.
        image, mask = _IMAGE.fullmatch(entry.name), _MASK.fullmatch(entry.name)
        if image or mask:
            split = split_of(entry)
            if split in expected:
                (images if image else masks)[split].append(((image or mask)[1], entry))
            else:
                nowhere.append(entry)
    if nowhere:
        findings.error(
            f'{count(len(nowhere), "file")} of no split of ISIC {year}: {some(nowhere, 3)}. Keep '
            'the names that archives and folders have at their owners, with Training, Validation '
            'or Test in them'
        )
    pairs, lists, split_by_name = [], {}, {}
    for split in expected:
        if not images[split] and not masks[split]:
            continue
        found = match(images[split], masks[split], findings, natural)
        if found:
            lists[f'{split}.txt'] = [pair.name for pair in found]
        for pair in found:
            other = split_by_name.setdefault(pair.name, split)
            if other != split:
                findings.error(f'{pair.name} is in {other} and in {split}')
        pairs += found
    plan = Plan(
        pairs,
        lists,
        split=dict(origin='official, as distributed'),
        expected={f'{split}.txt': size for split, size in expected.items()},
    )
    check_counts(plan, findings)
    if not pairs and not findings.problems:
        findings.error('no ISIC_x.jpg with its ISIC_x_Segmentation.png was found')
    return plan


def plan_isic2016(entries: Sequence[Entry], args: argparse.Namespace, findings: Findings) -> Plan:
    """Plan ISIC 2016: 900 to train, 379 to test."""
    return _plan('2016', entries, findings)


def plan_isic2017(entries: Sequence[Entry], args: argparse.Namespace, findings: Findings) -> Plan:
    """Plan ISIC 2017: 2000 to train, 150 to validate, 600 to test."""
    return _plan('2017', entries, findings)
