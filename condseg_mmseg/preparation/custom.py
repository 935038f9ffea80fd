"""One's own images and masks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from condseg_mmseg.datasets.files import has_image_suffix
from condseg_mmseg.utils.errors import UserError
from condseg_mmseg.utils.findings import Findings
from condseg_mmseg.utils.text import count

from .plan import Named, Pair, Plan, images_of, match, stem
from .problems import some, stop
from .sources import Entry
from .splits import FRACTIONS, given_names, groups_file, rule_of, split_names

File = str | Path | None


def _below(
    folders: tuple[str, ...], wanted: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """Cut the folders of a file after the wanted ones; the source's own name comes last."""
    inner, n = folders[1:], len(wanted)
    for start in range(len(inner) - n + 1):
        if inner[start : start + n] == wanted:
            return inner[: start + n], inner[start + n :]
    return ((), inner[n - 1 :]) if folders[:n] == wanted else None


def _located(
    entries: Sequence[Entry], folder: str, suffix: str, option: str, findings: Findings
) -> list[Named]:
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
        text = f'--{option} {folder} means several folders, name one: {some(sorted(roots))}'
        findings.add('problem', text)
    elif not found:
        ends = f' ends with {suffix!r}' if suffix else ''
        findings.add('problem', f'--{option} {folder}: no image there{ends}')
    return found


def _given_lists(
    files: Mapping[str, Path], pairs: Sequence[Pair], findings: Findings
) -> dict[str, list[str]]:
    """Read the user's lists; their names may have endings."""
    there = {pair.name for pair in pairs}
    lists: dict[str, list[str]] = {}
    for split, file in files.items():
        raw = given_names(f'--{split}', file)
        names = [n if n in there or not has_image_suffix(n) else stem(n) for n in raw]
        missing = [name for name in names if name not in there]
        twice = [name for name, times in Counter(names).items() if times > 1]
        if missing:
            without = f'{count(len(missing), "name")} without image and mask'
            findings.add('gap', f'--{split} {file}: {without}: {some(missing)}')
        if twice:
            findings.add('problem', f'--{split} {file}: named twice: {some(twice)}')
        if names and set(names) <= set(missing):
            findings.add('problem', f'--{split} {file}: nothing of it is there')
        lists[split] = [name for name in names if name in there]
    return lists


def _check_disjoint(
    lists: Mapping[str, Sequence[str]], groups: Mapping[str, str] | None, findings: Findings
) -> None:
    """Find names, or groups, that are in two lists."""
    for noun, key in (('name', None), ('group', groups)):
        if noun == 'group' and groups is None:
            continue
        first: dict[str, str] = {}
        shared: dict[str, None] = {}
        for split, names in lists.items():
            for name in names:
                what = name if key is None else key[name]
                if first.setdefault(what, split) != split:
                    shared[f'{what} ({first[what]}, {split})'] = None
        if shared:
            findings.add('problem', f'{count(len(shared), noun)} in two lists: {some(shared)}')


def _groups(file: File, pairs: Sequence[Pair]) -> dict[str, str] | None:
    """Read the group of every pair; the table's names may have endings."""
    if file is None:
        return None
    table = groups_file('--groups', Path(file))
    groups = {stem(name): group for name, group in table.items() if has_image_suffix(name)} | table
    without = [pair.name for pair in pairs if pair.name not in groups]
    if without:
        raise UserError(f'--groups {file}: no group for {some(without)}')
    return {pair.name: groups[pair.name] for pair in pairs}


def _find_pairs(
    entries: Sequence[Entry], parameters: Mapping[str, str], findings: Findings
) -> list[Pair]:
    """Find images and masks where ``parameters`` say."""
    folder, suffix = parameters['masks'], parameters['mask_suffix']
    images = _located(entries, parameters['images'], parameters['image_suffix'], 'images', findings)
    masks = _located(entries, folder, suffix, 'masks', findings)
    taken = {entry for _, entry in masks}
    if taken.intersection(entry for _, entry in images):
        if not suffix:
            raise UserError(
                f'--images {parameters["images"]} and --masks {folder} are one folder: the masks '
                'need a --mask-suffix'
            )
        images = [(name, entry) for name, entry in images if entry not in taken]
    stop(findings)
    return match(images, masks, findings)


def _check_arguments(
    files: Mapping[str, Path], mask_mode: str, threshold: int | None, with_split: bool
) -> None:
    if mask_mode not in ('threshold', 'nonzero'):
        raise UserError(f'--mask-mode must be threshold or nonzero, got {mask_mode}')
    if threshold is not None and mask_mode == 'nonzero':
        raise UserError('--threshold does not work with --mask-mode nonzero')
    if threshold is not None and not 0 <= threshold <= 254:
        raise UserError(f'--threshold must lie in 0..254, got {threshold}')
    if files and with_split:
        raise UserError(f'--{next(iter(files))} FILE does not work with --split and --seed')


def plan_custom(
    entries: Sequence[Entry],
    findings: Findings,
    images: str = 'images',
    image_suffix: str = '',
    masks: str = 'masks',
    mask_suffix: str = '',
    mask_mode: str = 'threshold',
    threshold: int | None = None,
    force_mode: bool = False,
    split: Sequence[float] | None = None,
    seed: int | None = None,
    groups: File = None,
    train: File = None,
    val: File = None,
    test: File = None,
) -> Plan:
    """Plan one's own data set: split by our rule, or by one's own lists.

    Args:
        entries: The files.
        findings: Gets what is wrong.
        images: Folder of the images in the sources; ``'.'`` for all. Default ``'images'``.
        image_suffix: What follows the name in the image files, with or without an ending.
        masks: Folder of the masks. Default ``'masks'``.
        mask_suffix: As ``image_suffix``.
        mask_mode: ``'threshold'`` for masks of 0 and 255 (default), ``'nonzero'`` for labels.
        threshold: Foreground is above it, 0..254. Default 127.
        force_mode: Whether masks that do not fit the mode are a warning only. Default False.
        split: Shares of train, val and test. Default 0.8, 0.1, 0.1.
        seed: Of the split. Default 0.
        groups: Table of name,group; images of one group stay in one split.
        train: List of names, instead of ``split`` and ``seed``; so are the next two.
        val: List of names.
        test: List of names.

    Raises:
        UserError: Arguments exclude each other or are out of range, or a file cannot be read.
    """
    given = dict(train=train, val=val, test=test)
    files = {name: Path(file) for name, file in given.items() if file is not None}
    _check_arguments(files, mask_mode, threshold, split is not None or seed is not None)
    parameters = dict(
        images=images, image_suffix=image_suffix, masks=masks, mask_suffix=mask_suffix
    )
    pairs = _find_pairs(entries, parameters, findings)
    group_of = _groups(groups, pairs)
    names_of = {name: file.name for name, file in files.items()}
    record: dict[str, Any] = dict(origin='lists given', files=names_of)
    parts = _given_lists(files, pairs, findings)
    if files:
        _check_disjoint(parts, group_of, findings)
        listed = {name for names in parts.values() for name in names}
        unlisted = [pair.name for pair in pairs if pair.name not in listed]
        if unlisted:
            text = f'{count(len(unlisted), "image")} in no list, left out: {some(unlisted)}'
            findings.add('note', text)
        pairs = [pair for pair in pairs if pair.name in listed]
        parts = {name: names for name, names in parts.items() if names}
    elif pairs:
        stop(findings)  # of names that cannot be hashed
        shares, seed = list(split or FRACTIONS), seed or 0
        parts = split_names([pair.name for pair in pairs], shares, seed, group_of)
        rule = rule_of('group' if group_of else 'name')
        record = dict(origin='ours', rule=rule, fractions=shares, seed=seed)
    if groups is not None:
        record['groups'] = Path(groups).name
    return Plan(
        pairs,
        {f'{name}.txt': names for name, names in parts.items()},
        None if mask_mode == 'nonzero' else 127 if threshold is None else threshold,
        record,
        {pair.name: dict(group=group_of[pair.name]) for pair in pairs} if group_of else {},
        parameters=parameters,
        strict_masks=not force_mode,
        judge_set=not force_mode,
    )
