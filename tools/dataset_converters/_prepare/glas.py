"""GlaS, the Warwick-QU data set."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence

from .findings import Findings, count, some
from .plan import Plan, images_of, match, natural, restrict, stem
from .sources import Entry
from .splits import read_table

_NAME = re.compile(r'((?:train|testA|testB)_\d+)(_anno)?')
SIZES = dict(train=85, testA=60, testB=20)


def glas_lists() -> dict[str, list[str]]:
    """Make the lists of the whole data set, which its file names tell."""
    parts = {part: [f'{part}_{i + 1}' for i in range(size)] for part, size in SIZES.items()}
    lists = dict(train=parts['train'], test=parts['testA'] + parts['testB'])
    lists |= dict(testA=parts['testA'], testB=parts['testB'])
    return {f'{name}.txt': names for name, names in lists.items()}


def plan_glas(entries: Sequence[Entry], args: argparse.Namespace, findings: Findings) -> Plan:
    """Plan GlaS: instance labels become one foreground; patients and grades are recorded."""
    images, masks = [], []
    for entry in images_of(entries):
        found = _NAME.fullmatch(stem(entry.name))
        if found:
            (masks if found[2] else images).append((found[1], entry))
    pairs = match(images, masks, findings, natural)
    lists = glas_lists()
    expected = {file: len(names) for file, names in lists.items()}
    pairs, lists = restrict(pairs, lists, findings, 'GlaS (train 85, testA 60, testB 20)')
    grades = _grades(entries, findings)
    details = {pair.name: grades[pair.name] for pair in pairs if pair.name in grades}
    if grades:
        without = [pair.name for pair in pairs if pair.name not in grades]
        if without:
            findings.warn(f'Grade.csv has no line for {some(without)}')
        _warn_of_shared_patients(lists, details, findings)
    return Plan(
        pairs,
        lists,
        threshold=None,
        split=dict(origin='official, by file name; test = testA + testB'),
        details=details,
        expected=expected,
    )


def _grades(entries: Sequence[Entry], findings: Findings) -> dict[str, dict]:
    """Read patient and grades by image; CR line ends and blanks behind the commas included."""
    tables = [entry for entry in entries if entry.name.lower() == 'grade.csv']
    if len(tables) != 1:
        there = some(tables) if tables else 'none'
        findings.warn(f'one Grade.csv is needed for patients and grades, found {there}')
        return {}
    rows = read_table(tables[0].source.read(tables[0]), str(tables[0]))
    bad = [row for row in rows[1:] if len(row) < 4 or not _NAME.fullmatch(row[0])]
    if bad or not rows or rows[0][:2] != ['name', 'patient ID']:
        findings.error(
            f'{tables[0]}: the columns name, patient ID, grade (GlaS), grade (Sirinukunwattana et '
            f'al. 2015) are expected, got {",".join(bad[0] if bad else rows[0] if rows else [])}'
        )
        return {}
    return {
        row[0]: dict(patient=row[1], grade=row[2], grade_sirinukunwattana=row[3])
        for row in rows[1:]
    }


def _warn_of_shared_patients(
    lists: dict[str, list[str]], details: dict[str, dict], findings: Findings
) -> None:
    train, test = (
        [details[name]['patient'] for name in lists.get(file, []) if name in details]
        for file in ('train.txt', 'test.txt')
    )
    shared = set(train) & set(test)
    if shared:
        of = [sum(patient in shared for patient in part) for part in (train, test)]
        findings.warn(
            f'the official split is not by patient: {count(len(shared), "patient")} '
            f'({some(sorted(shared, key=natural), 16)}) of {len(set(train))} in train are in test '
            f'too, with {of[0]} of {len(train)} training images and {of[1]} of {len(test)} test '
            'images'
        )
