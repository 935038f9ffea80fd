"""Kvasir-SEG, Kvasir-Sessile and CVC-ClinicDB."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from condseg_mmseg.datasets.files import read_names

from .findings import Findings, PrepareError, some
from .plan import Plan, in_folder, match, natural, restrict
from .sources import Entry
from .splits import (
    FRACTIONS,
    hash_order,
    read_groups,
    shipped,
    shipped_names,
    split_names,
)

SESSILE_SEED = 0
SESSILE_PART = 20  # images in each of val and test, as in the paper
_SESSILE_SIZE = 196
CVC_FRAMES = tuple(str(frame) for frame in range(1, 613))


def plan_kvasir_seg(entries: Sequence[Entry], args: argparse.Namespace, findings: Findings) -> Plan:
    """Plan Kvasir-SEG with its official lists."""
    pairs = match(in_folder(entries, 'images'), in_folder(entries, 'masks'), findings)
    lists = {file: shipped_names(f'kvasir-seg/{file}') for file in ('train.txt', 'val.txt')}
    expected = {file: len(names) for file, names in lists.items()}
    pairs, lists = restrict(pairs, lists, findings, 'the official lists of Kvasir-SEG')
    return Plan(pairs, lists, split=dict(origin='official'), expected=expected)


def sessile_lists(names: Sequence[str]) -> dict[str, list[str]]:
    """Make the shipped lists of Kvasir-Sessile.

    In the order of :func:`hash_order`, the first 20 are test, the next 20 val, the rest train.
    """
    order = hash_order(names, SESSILE_SEED)
    part = {name: 'test' for name in order[:SESSILE_PART]}
    part |= {name: 'val' for name in order[SESSILE_PART : 2 * SESSILE_PART]}
    return {
        f'{split}.txt': [name for name in sorted(names) if part.get(name, 'train') == split]
        for split in ('train', 'val', 'test')
    }


def add_sessile_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``kvasir_sessile``."""
    parser.add_argument(
        '--names',
        type=Path,
        metavar='FILE',
        help='the names of the subset, one a line (default: the 195 of 196 that are shipped)',
    )


def plan_kvasir_sessile(
    entries: Sequence[Entry], args: argparse.Namespace, findings: Findings
) -> Plan:
    """Plan Kvasir-Sessile, from its own archive or from all of Kvasir-SEG."""
    pairs = match(in_folder(entries, 'images'), in_folder(entries, 'masks'), findings)
    official = {split: set(shipped_names(f'kvasir-seg/{split}.txt')) for split in ('train', 'val')}
    names = set(shipped_names('kvasir-sessile/names.txt'))
    if args.names is not None:
        try:
            names = set(read_names(str(args.names)))
        except (OSError, UnicodeDecodeError) as error:
            raise PrepareError(f'--names {args.names}: unreadable ({error})') from error
    elif len(pairs) == _SESSILE_SIZE:
        # The subset's own archive: it holds the one name that the shipped list lacks.
        unknown = {pair.name for pair in pairs} - names
        names |= unknown if len(unknown) == 1 else set()
    foreign = sorted(names - official['train'] - official['val'])
    if foreign:
        findings.error(f'names that are no image of Kvasir-SEG: {some(foreign)}')
    # Val and test are as shipped whatever is missing; every other name is for training.
    held = {split: set(shipped_names(f'kvasir-sessile/{split}.txt')) for split in ('val', 'test')}
    lists = {
        'train.txt': sorted(names - held['val'] - held['test']),
        'val.txt': sorted(names & held['val']),
        'test.txt': sorted(names & held['test']),
    }
    pairs = [pair for pair in pairs if pair.name in names]  # the rest of Kvasir-SEG
    pairs, lists = restrict(pairs, lists, findings, 'the names of Kvasir-Sessile')
    if len(names) == _SESSILE_SIZE - 1:
        findings.warn(
            '195 of the 196 names of Kvasir-Sessile are known here; the one that is not belongs to '
            'train: the split is 155 / 20 / 20 instead of 156 / 20 / 20'
        )
    details = {
        pair.name: dict(kvasir_seg=split)
        for pair in pairs
        for split, known in official.items()
        if pair.name in known
    }
    return Plan(
        pairs,
        lists,
        split=dict(
            origin='ours: the published split is random and not known',
            rule=f"by SHA-256 of '{SESSILE_SEED}:name': the first 20 of the shipped names are "
            'test, the next 20 val, the rest train',
        ),
        details=details,
        expected={'train.txt': 156, 'val.txt': 20, 'test.txt': 20},
    )


def add_cvc_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``cvc_clinicdb``."""
    parser.add_argument(
        '--sequences',
        type=Path,
        metavar='FILE',
        help='comma-separated table with the columns frame,sequence (default: the shipped one, '
        'configs/splits/cvc-clinicdb/sequences.csv)',
    )
    parser.add_argument(
        '--split',
        type=float,
        nargs=3,
        default=FRACTIONS,
        metavar=('TRAIN', 'VAL', 'TEST'),
        help='shares of the frames; sequences stay whole (default: 0.8 0.1 0.1)',
    )
    parser.add_argument('--seed', type=int, default=0, help='seed of the split (default: 0)')


def _sequences(entries: Sequence[Entry], file: Path | None, findings: Findings) -> dict[str, str]:
    """Return the sequence of every frame; a table in the source must agree with ours."""
    if file is not None:
        if not file.is_file():
            raise PrepareError(f'--sequences {file}: no such file')
        return read_groups(file.read_bytes(), str(file), ('frame', 'sequence'))
    table = shipped('cvc-clinicdb/sequences.csv')
    ours = read_groups(table.read_bytes(), str(table), ('frame', 'sequence'))
    for entry in entries:
        if entry.name.lower() == 'metadata.csv':
            data = entry.source.read(entry)
            theirs = read_groups(data, str(entry), ('frame_id', 'sequence_id'))
            other = [frame for frame, sequence in theirs.items() if ours.get(frame) != sequence]
            if other:
                findings.error(
                    f'{entry} puts frames into other sequences than {table.name}: {some(other)}; '
                    'choose by --sequences FILE'
                )
    return ours


def plan_cvc_clinicdb(
    entries: Sequence[Entry], args: argparse.Namespace, findings: Findings
) -> Plan:
    """Plan CVC-ClinicDB, split by sequence, with a list of all frames."""
    images = in_folder(entries, 'original')
    masks = in_folder(entries, 'groundtruth')
    endings = {entry.name.lower().rpartition('.')[2] for _, entry in images}
    if len(endings) > 1 and 'png' in endings:
        # A common redistribution holds every frame as PNG and as TIFF.
        images, masks = (
            [(name, entry) for name, entry in files if entry.name.lower().endswith('.png')]
            for files in (images, masks)
        )
    pairs = match(images, masks, findings, natural)
    groups = _sequences(entries, args.sequences, findings)
    without = [frame for frame in CVC_FRAMES if frame not in groups]
    if without:
        raise PrepareError(f'{args.sequences}: no sequence for the frames {some(without)}')
    # The split is made of all 612 names, so that a missing frame does not change it.
    split = split_names(CVC_FRAMES, tuple(args.split), args.seed, groups)
    lists = {f'{name}.txt': frames for name, frames in split.items()}
    lists['all.txt'] = list(CVC_FRAMES)
    expected = {file: len(names) for file, names in lists.items()}
    pairs, lists = restrict(pairs, lists, findings, 'the 612 frames of CVC-ClinicDB')
    return Plan(
        pairs,
        lists,
        split=dict(
            origin='ours: the owners publish none',
            rule="sequences by SHA-256 of 'seed:sequence': the first are test, the next val, the "
            'rest train',
            fractions=list(args.split),
            seed=args.seed,
        ),
        details={pair.name: dict(sequence=groups[pair.name]) for pair in pairs},
        expected=expected,
    )
