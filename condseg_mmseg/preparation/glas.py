"""GlaS, the Warwick-QU data set."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from condseg_mmseg.utils.csv_tables import read_table
from condseg_mmseg.utils.findings import Findings
from condseg_mmseg.utils.text import count, first

from .plan import Named, Plan, images_of, match, natural, restrict, stem
from .problems import some
from .sources import Entry

_NAME = re.compile(r'((?:train|testA|testB)_\d+)(_anno)?')
_SIZES = dict(train=85, testA=60, testB=20)


def glas_lists() -> dict[str, list[str]]:
    """Make the lists of the whole data set, as its file names say."""
    parts = {part: [f'{part}_{i + 1}' for i in range(size)] for part, size in _SIZES.items()}
    train, first_test, second_test = parts.values()
    lists = dict(train=train, test=first_test + second_test, testA=first_test, testB=second_test)
    return {f'{name}.txt': names for name, names in lists.items()}


def plan_glas(entries: Sequence[Entry], findings: Findings) -> Plan:
    """Plan GlaS: instance labels become one foreground; patients and grades are recorded."""
    images: list[Named] = []
    masks: list[Named] = []
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
            findings.add('note', f'Grade.csv has no line for {some(without)}')
        _warn_of_shared_patients(lists, details, findings)
    split = dict(origin='official, by file name; test = testA + testB')
    return Plan(pairs, lists, None, split, details, expected)


def _grades(entries: Sequence[Entry], findings: Findings) -> dict[str, dict[str, str]]:
    """Read patient and grades by image; the table has CR line ends, and blanks after commas."""
    tables = [entry for entry in entries if entry.name.lower() == 'grade.csv']
    if len(tables) != 1:
        text = 'one Grade.csv is needed for patients and grades, found '
        findings.add('note', text + (some(tables) or 'none'))
        return {}
    rows = read_table(tables[0].source.read(tables[0]), str(tables[0]))
    bad = [row for row in rows[1:] if len(row) < 4 or not _NAME.fullmatch(row[0])]
    if bad or not rows or rows[0][:2] != ['name', 'patient ID']:
        text = (
            f'{tables[0]}: the columns name, patient ID, grade (GlaS), grade (Sirinukunwattana et '
            f'al. 2015) are expected, got {",".join([*bad, *rows, []][0])}'
        )
        findings.add('problem', text)
        return {}
    keys = ('patient', 'grade', 'grade_sirinukunwattana')
    return {row[0]: dict(zip(keys, row[1:4], strict=True)) for row in rows[1:]}


def _warn_of_shared_patients(
    lists: Mapping[str, list[str]], details: Mapping[str, dict[str, str]], findings: Findings
) -> None:
    train, test = (
        [details[name]['patient'] for name in lists.get(file, []) if name in details]
        for file in ('train.txt', 'test.txt')
    )
    shared = set(train) & set(test)
    if shared:
        of = [sum(patient in shared for patient in part) for part in (train, test)]
        text = (
            f'the official split is not by patient: {count(len(shared), "patient")} '
            f'({first(sorted(shared, key=natural), 16)}) of {len(set(train))} in train are in test '
            f'too, with {of[0]} of {len(train)} training images and {of[1]} of {len(test)} test '
            'images'
        )
        findings.add('note', text)
