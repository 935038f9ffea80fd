"""One's own images and masks."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from condseg_mmseg.datasets.files import has_image_suffix, read_names

from .findings import Findings, PrepareError, count, some
from .plan import Pair, Plan, images_of, match, stem
from .sources import Entry
from .splits import FRACTIONS, SPLITS, read_groups, split_names


def add_custom_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``custom``."""
    where = parser.add_argument_group('which files')
    for kind, default in (('image', 'images'), ('mask', 'masks')):
        where.add_argument(
            f'--{default}',
            default=default,
            metavar='FOLDER',
            help=f'folder of the {kind}s in SRC; . for all of SRC (default: {default})',
        )
        where.add_argument(
            f'--{kind}-suffix',
            default='',
            metavar='SUFFIX',
            help=f'what follows the name in the {kind} files, with an ending (_m.png) or without '
            '(_m) (default: nothing)',
        )
    masks = parser.add_argument_group('what is foreground')
    masks.add_argument(
        '--mask-mode',
        choices=('threshold', 'nonzero'),
        default='threshold',
        help='threshold: masks of 0 and 255, JPEG noise allowed; nonzero: labels, 0 is background '
        '(default: threshold)',
    )
    masks.add_argument(
        '--threshold',
        type=int,
        metavar='VALUE',
        help='foreground is above it, 0..254 (default: 127)',
    )
    masks.add_argument(
        '--force-mode',
        action='store_true',
        help='masks whose values do not fit the mode are a warning, not an error',
    )
    split = parser.add_argument_group('split')
    split.add_argument(
        '--split',
        type=float,
        nargs=3,
        metavar=('TRAIN', 'VAL', 'TEST'),
        help='shares of the images (default: 0.8 0.1 0.1)',
    )
    split.add_argument('--seed', type=int, help='seed of the split (default: 0)')
    split.add_argument(
        '--groups',
        type=Path,
        metavar='FILE',
        help='comma-separated table, a header and then name,group a line: images of one group '
        '(patient, video) stay in one split',
    )
    for name in SPLITS:
        split.add_argument(
            f'--{name}',
            type=Path,
            metavar='FILE',
            help=f'list of names for {name}, instead of --split',
        )


def check_custom_arguments(args: argparse.Namespace) -> None:
    """Raise ValueError for arguments that exclude each other or are out of range."""
    if args.threshold is not None and args.mask_mode == 'nonzero':
        raise ValueError('--threshold does not go with --mask-mode nonzero')
    if args.threshold is not None and not 0 <= args.threshold <= 254:
        raise ValueError(f'--threshold must lie in 0..254, got {args.threshold}')
    given = [split for split in SPLITS if getattr(args, split) is not None]
    if given and (args.split is not None or args.seed is not None):
        raise ValueError(f'--{given[0]} FILE does not go with --split and --seed')


def _below(
    folders: tuple[str, ...], wanted: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """Cut the folders of a file behind the wanted ones; the source's own name comes last."""
    inner, n = folders[1:], len(wanted)
    for start in range(len(inner) - n + 1):
        if inner[start : start + n] == wanted:
            return inner[: start + n], inner[start + n :]
    return ((), inner[n - 1 :]) if folders[:n] == wanted else None


def _located(
    entries: Sequence[Entry], folder: str, suffix: str, option: str, findings: Findings
) -> list[tuple[str, Entry]]:
    """Return the images below a folder, with their names: path below it, without the suffix."""
    wanted = PurePosixPath(folder).parts
    found, roots = [], set()
    for entry in images_of(entries):
        cut = _below(entry.folders, wanted)
        if cut is None:
            continue
        path = '/'.join((*cut[1], entry.name))
        name = path if '.' in suffix else stem(path)
        if name.endswith(suffix):
            found.append((name.removesuffix(suffix), entry))
            roots.add('/'.join((entry.source.name, *cut[0])))
    if len(roots) > 1:
        findings.error(
            f'--{option} {folder} means several folders, name one: {some(sorted(roots))}'
        )
    elif not found:
        findings.error(
            f'--{option} {folder}: no image there' + (f' ends with {suffix!r}' if suffix else '')
        )
    return found


def _given_lists(
    args: argparse.Namespace, pairs: Sequence[Pair], findings: Findings
) -> dict[str, list[str]]:
    """Read the user's lists; their names may have endings."""
    there = {pair.name for pair in pairs}
    lists: dict[str, list[str]] = {}
    for split in SPLITS:
        file = getattr(args, split)
        if file is None:
            continue
        try:
            raw = read_names(str(file))
        except (OSError, UnicodeDecodeError) as error:
            raise PrepareError(f'--{split} {file}: unreadable ({error})') from error
        names = [n if n in there or not has_image_suffix(n) else stem(n) for n in raw]
        missing = [name for name in names if name not in there]
        if missing:
            findings.gap(
                f'--{split} {file}: {count(len(missing), "name")} without image and mask: '
                f'{some(missing)}'
            )
        twice = [name for name, n in Counter(names).items() if n > 1]
        if twice:
            findings.error(f'--{split} {file}: named twice: {some(twice)}')
        if names and set(names) <= set(missing):
            findings.error(f'--{split} {file}: nothing of it is there')
        lists[split] = [name for name in names if name in there]
    return lists


def _check_disjoint(
    lists: Mapping[str, Sequence[str]], groups: Mapping[str, str] | None, findings: Findings
) -> None:
    """Find names, or groups, that are in two lists."""
    for noun, key in (('name', None), ('group', groups)):
        first: dict[str, str] = {}
        shared: dict[str, None] = {}
        if noun == 'group' and groups is None:
            continue
        for split, names in lists.items():
            for name in names:
                what = name if key is None else key[name]
                if first.setdefault(what, split) != split:
                    shared[f'{what} ({first[what]}, {split})'] = None
        if shared:
            findings.error(f'{count(len(shared), noun)} in two lists: {some(shared)}')


def _groups(file: Path | None, pairs: Sequence[Pair]) -> dict[str, str] | None:
    """Read the group of every pair; the table's names may have endings."""
    if file is None:
        return None
    if not file.is_file():
        raise PrepareError(f'--groups {file}: no such file')
    table = read_groups(file.read_bytes(), str(file))
    stems = {stem(name): group for name, group in table.items() if has_image_suffix(name)}
    groups = stems | table
    without = [pair.name for pair in pairs if pair.name not in groups]
    if without:
        raise PrepareError(f'--groups {file}: no group for {some(without)}')
    return {pair.name: groups[pair.name] for pair in pairs}


def plan_custom(entries: Sequence[Entry], args: argparse.Namespace, findings: Findings) -> Plan:
    """Plan one's own data set: split by our rule, or by one's own lists."""
    images = _located(entries, args.images, args.image_suffix, 'images', findings)
    masks = _located(entries, args.masks, args.mask_suffix, 'masks', findings)
    taken = {entry for _, entry in masks}
    if taken.intersection(entry for _, entry in images):
        if not args.mask_suffix:
            raise PrepareError(
                f'--images {args.images} and --masks {args.masks} are one folder: the masks need '
                'a --mask-suffix'
            )
        images = [(name, entry) for name, entry in images if entry not in taken]
    findings.stop()
    pairs = match(images, masks, findings)
    groups = _groups(args.groups, pairs)
    given = _given_lists(args, pairs, findings)
    files = {name: getattr(args, name) for name in SPLITS if getattr(args, name) is not None}
    split: dict = dict(origin='lists given', files={k: file.name for k, file in files.items()})
    if given:
        _check_disjoint(given, groups, findings)
        listed = {name for names in given.values() for name in names}
        unlisted = [pair.name for pair in pairs if pair.name not in listed]
        if unlisted:
            findings.warn(f'{count(len(unlisted), "image")} in no list, left out: {some(unlisted)}')
        pairs = [pair for pair in pairs if pair.name in listed]
        given = {name: names for name, names in given.items() if names}
    elif pairs:
        fractions = tuple(args.split or FRACTIONS)
        seed = args.seed or 0
        try:
            given = split_names([pair.name for pair in pairs], fractions, seed, groups)
        except ValueError as error:
            raise PrepareError(str(error)) from error
        what = 'group' if groups else 'name'
        split = dict(
            origin='ours',
            rule=f"{what}s by SHA-256 of 'seed:{what}': the first are test, the next val, the rest "
            'train',
            fractions=list(fractions),
            seed=seed,
        )
    if args.groups is not None:
        split['groups'] = args.groups.name
    options = ('images', 'image_suffix', 'masks', 'mask_suffix')
    return Plan(
        pairs,
        {f'{name}.txt': names for name, names in given.items()},
        threshold=None
        if args.mask_mode == 'nonzero'
        else (127 if args.threshold is None else args.threshold),
        split=split,
        details={pair.name: dict(group=groups[pair.name]) for pair in pairs if groups},
        parameters={name: getattr(args, name) for name in options},
        strict_masks=not args.force_mode,
    )
