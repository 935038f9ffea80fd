"""Kvasir-SEG, Kvasir-Sessile and CVC-ClinicDB."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from condseg_mmseg.utils.csv_tables import read_group_table
from condseg_mmseg.utils.errors import UserError
from condseg_mmseg.utils.findings import Findings

from .plan import Pair, Plan, in_folder, match, natural, restrict
from .problems import some
from .sources import Entry
from .splits import (
    FRACTIONS,
    given_names,
    groups_file,
    rule_of,
    shipped,
    shipped_names,
    split_names,
)

CVC_FRAMES = tuple(str(frame) for frame in range(1, 613))
_SESSILE_SIZE = 196


def _kvasir_pairs(entries: Sequence[Entry], findings: Findings) -> list[Pair]:
    return match(in_folder(entries, 'images'), in_folder(entries, 'masks'), findings)


def plan_kvasir_seg(entries: Sequence[Entry], findings: Findings) -> Plan:
    """Plan Kvasir-SEG with its official lists."""
    pairs = _kvasir_pairs(entries, findings)
    lists = {file: shipped_names(f'kvasir-seg/{file}') for file in ('train.txt', 'val.txt')}
    expected = {file: len(names) for file, names in lists.items()}
    pairs, lists = restrict(pairs, lists, findings, 'the official lists of Kvasir-SEG')
    return Plan(pairs, lists, split=dict(origin='official'), expected=expected)


def plan_kvasir_sessile(
    entries: Sequence[Entry], findings: Findings, names: str | Path | None = None
) -> Plan:
    """Plan Kvasir-Sessile, from its own archive or from all of Kvasir-SEG.

    Args:
        entries: The files.
        findings: Gets what is wrong.
        names: List of the names of the subset. Default: the 195 of 196 that are shipped.
    """
    pairs = _kvasir_pairs(entries, findings)
    official = {split: set(shipped_names(f'kvasir-seg/{split}.txt')) for split in ('train', 'val')}
    known = set(shipped_names('kvasir-sessile/names.txt'))
    if names is not None:
        known = set(given_names('--names', Path(names)))
    elif len(pairs) == _SESSILE_SIZE:
        # The subset's own archive: it holds the one name that the shipped list lacks.
        unknown = {pair.name for pair in pairs} - known
        known |= unknown if len(unknown) == 1 else set()
    foreign = sorted(known - official['train'] - official['val'])
    if foreign:
        findings.add('problem', f'names that are no image of Kvasir-SEG: {some(foreign)}')
    # Val and test are as shipped whatever is missing; every other name is for training.
    held = {split: set(shipped_names(f'kvasir-sessile/{split}.txt')) for split in ('val', 'test')}
    lists = {
        'train.txt': sorted(known - held['val'] - held['test']),
        'val.txt': sorted(known & held['val']),
        'test.txt': sorted(known & held['test']),
    }
    pairs = [pair for pair in pairs if pair.name in known]  # the rest of Kvasir-SEG
    pairs, lists = restrict(pairs, lists, findings, 'the names of Kvasir-Sessile')
    if len(known) == _SESSILE_SIZE - 1:
        text = (
            '195 of the 196 names of Kvasir-Sessile are known here; the one that is not belongs to '
            'train: the split is 155 / 20 / 20 instead of 156 / 20 / 20'
        )
        findings.add('note', text)
    details = {
        pair.name: dict(kvasir_seg=split)
        for pair in pairs
        for split, part in official.items()
        if pair.name in part
    }
    split = dict(
        origin='ours: the published split is random and not known',
        rule="by SHA-256 of '0:name': the first 20 of the shipped names are test, the next 20 val, "
        'the rest train',
    )
    expected = {'train.txt': 156, 'val.txt': 20, 'test.txt': 20}
    return Plan(pairs, lists, split=split, details=details, expected=expected)


def _sequences(
    entries: Sequence[Entry], file: str | Path | None, findings: Findings
) -> dict[str, str]:
    """Return the sequence of every frame; a table in the source must agree with ours."""
    columns = ('frame', 'sequence')
    if file is not None:
        return groups_file('--sequences', Path(file), columns)
    table = shipped('cvc-clinicdb/sequences.csv')
    ours = read_group_table(table.read_bytes(), str(table), columns)
    for entry in entries:
        if entry.name.lower() == 'metadata.csv':
            data = entry.source.read(entry)
            theirs = read_group_table(data, str(entry), ('frame_id', 'sequence_id'))
            other = [frame for frame, sequence in theirs.items() if ours.get(frame) != sequence]
            if other:
                text = (
                    f'{entry} puts frames into other sequences than {table.name}: {some(other)}; '
                    'choose by --sequences FILE'
                )
                findings.add('problem', text)
    return ours


def plan_cvc_clinicdb(
    entries: Sequence[Entry],
    findings: Findings,
    sequences: str | Path | None = None,
    split: Sequence[float] = FRACTIONS,
    seed: int = 0,
) -> Plan:
    """Plan CVC-ClinicDB, split by sequence, with a list of all frames.

    Args:
        entries: The files.
        findings: Gets what is wrong.
        sequences: Table with the columns frame,sequence. Default: the shipped one.
        split: Shares of train, val and test. Default 0.8, 0.1, 0.1.
        seed: Of the split. Default 0.
    """
    images, masks = in_folder(entries, 'original'), in_folder(entries, 'groundtruth')
    endings = {entry.name.lower().rpartition('.')[2] for _, entry in images}
    if len(endings) > 1 and 'png' in endings:
        # A common redistribution holds every frame as PNG and as TIFF.
        images, masks = (
            [(name, entry) for name, entry in files if entry.name.lower().endswith('.png')]
            for files in (images, masks)
        )
    pairs = match(images, masks, findings, natural)
    groups = _sequences(entries, sequences, findings)
    without = [frame for frame in CVC_FRAMES if frame not in groups]
    if without:
        raise UserError(f'--sequences {sequences}: no sequence for the frames {some(without)}')
    # The split is made of all 612 names, so that a missing frame does not change it.
    lists = {f'{n}.txt': part for n, part in split_names(CVC_FRAMES, split, seed, groups).items()}
    lists['all.txt'] = list(CVC_FRAMES)
    expected = {file: len(names) for file, names in lists.items()}
    pairs, lists = restrict(pairs, lists, findings, 'the 612 frames of CVC-ClinicDB')
    record = dict(
        origin='ours: the owners publish none',
        rule=rule_of('sequence'),
        fractions=list(split),
        seed=seed,
    )
    details = {pair.name: dict(sequence=groups[pair.name]) for pair in pairs}
    return Plan(pairs, lists, split=record, details=details, expected=expected)
