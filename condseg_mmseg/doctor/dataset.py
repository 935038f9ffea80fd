"""The data doctor: looks for what spoils training and scores before hours go into them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from condseg_mmseg.configs import find_config
from condseg_mmseg.utils.arguments import check_output
from condseg_mmseg.utils.errors import UserError
from condseg_mmseg.utils.files import write_json
from condseg_mmseg.utils.findings import Findings

from . import leakage, split_stats
from .configs import from_config
from .kinds import exit_status, new_findings
from .masks import MaskRule
from .scan import Pair, Scan, default_workers, guess_rule, scan_all
from .sheet import draw, write_sheet
from .sources import Layout, Split, from_folder

VERSION = 1
"""Of the JSON file; raised whenever a key changes its meaning or goes."""

_LIMITS = dict(
    workers=(1, 256), sheet_num=(1, 10_000), near_distance=(0, 64), near_correlation=(0.1, 2),
    tiny=(0, 1),
)  # fmt: skip
_FOLDER_OPTIONS = ('img_dir', 'mask_dir', 'img_suffix', 'seg_map_suffix', 'mask_mode')
_CHOICES = dict(mask_mode=('auto', 'threshold', 'nonzero'), fail_on=('error', 'warning', 'never'))


@dataclass
class _Source:
    """One DATA: its name in the report, the folder or config, and its splits."""

    name: str
    path: Path
    splits: list[Split]


def check_dataset(
    data: str | Path | Sequence[str | Path],
    *,
    lists: Mapping[str, str | Path] | None = None,
    img_dir: str | None = None,
    mask_dir: str | None = None,
    img_suffix: str | None = None,
    seg_map_suffix: str | None = None,
    mask_mode: str = 'auto',
    near_distance: int = 10,
    near_correlation: float = 0.9,
    tiny: float = 1e-4,
    fail_on: str = 'warning',
    cfg_options: Mapping[str, Any] | None = None,
    json: str | Path | None = None,
    sheet: str | Path | None = None,
    sheet_num: int = 40,
    force: bool = False,
    workers: int | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, Any]:
    """Read every file of one or several data sets and collect what is wrong; change none.

    Args:
        data: A folder, a config (by path or name), of which every data set of the dataloaders is
            read, or several of them, which are compared with each other.
        lists: Further lists of names of the only folder, by split: train, val or test.
        img_dir: Images, relative to the folder. Default: ``images``, else the folder itself.
        mask_dir: Masks. Default: ``masks``, else the folder of the images.
        img_suffix: As in ``BinaryMedicalDataset``.
        seg_map_suffix: As in ``BinaryMedicalDataset``, such as ``'_anno'``.
        mask_mode: How the masks of folders are read: ``'threshold'`` (> 127), ``'nonzero'`` (> 0),
            or ``'auto'`` (default): what most of them look like.
        near_distance: Most of the 64 signs of the hash in which near duplicates differ. Default 10.
        near_correlation: Least correlation of near duplicates; above 1: none is looked for. Default
            0.9.
        tiny: Share of the picture below which an object is a speck. Default 0.0001.
        fail_on: See :func:`.kinds.exit_status`. Default ``'warning'``.
        cfg_options: Dotted key -> value, which change the configs.
        json: File for the record. Default: none.
        sheet: PNG file for pictures of what is suspicious. Default: none.
        sheet_num: Most findings that it shows. Default 40.
        force: Whether ``json`` and ``sheet`` may replace files. Default False.
        workers: Threads. Default: the CPUs, 8 at most.
        progress: Called with ``'reading'``, the number of pairs read and of all.

    Returns:
        The record, as the JSON file holds it (docs/data-doctor.md).

    Raises:
        UserError: An argument or a config is wrong, or the output would go where the data is.
    """
    data = [data] if isinstance(data, (str, Path)) else data
    workers = default_workers() if workers is None else workers
    options = {key: value for key, value in locals().items() if key not in ('progress', 'force')}
    options['lists'] = further = {name: Path(file) for name, file in (lists or {}).items()}
    _check_options(options)
    findings = new_findings()
    layout = Layout(img_dir, mask_dir, img_suffix, seg_map_suffix, further)
    sources = _read_sources(data, layout, mask_mode, cfg_options, findings)
    splits = [split for source in sources for split in source.splits]
    _check_output('--json', json, sources, layout, force)
    _check_output('--sheet', sheet, sources, layout, force)
    jobs: dict[tuple[Pair, MaskRule], list[str]] = {}  # a pair -> the splits that hold it
    for split in splits:
        for pair in split.pairs:
            jobs.setdefault((pair, split.rule), []).append(split.full_name)
    place = {job: index for index, job in enumerate(jobs)}
    members = [[place[pair, split.rule] for pair in split.pairs] for split in splits]
    scans, users = scan_all(list(jobs), tiny, workers, progress), list(jobs.values())
    _add_problems(scans, users, findings)
    pictures = leakage.Pictures(splits, members, scans)
    leakage.find_same(pictures, findings)
    near = leakage.find_near(pictures, findings, near_distance, near_correlation)
    data_sets = list(_describe(sources, members, scans, findings))
    record = dict(
        version=VERSION,
        options=_as_json(options),
        counts=findings.counts(),
        exit_status=exit_status(findings, fail_on),
        data_sets=data_sets,
        overlaps=leakage.overlaps(pictures, near),
        findings=[finding.as_dict() for finding in findings.in_order()],
        images=[scan.as_dict(names) for scan, names in zip(scans, users, strict=True)],
    )
    try:
        if json:
            write_json(json, record)
        if sheet:
            known = {file: (*pair, rule) for pair, rule in reversed(jobs) for file in pair if file}
            write_sheet(Path(sheet), draw(findings, known, sheet_num))
    except OSError as error:
        raise UserError(f'cannot write: {error}') from error
    return record


def _add_problems(
    scans: Sequence[Scan], users: Sequence[Sequence[str]], findings: Findings
) -> None:
    """Report the problems of single files, each once: an image may be in two pairs."""
    known = set()
    for scan, names in zip(scans, users, strict=True):
        for kind, detail, files in scan.problems:
            if (kind, detail, *files) not in known:
                findings.add(kind, detail, files, names)
            known.add((kind, detail, *files))


def _check_options(options: Mapping[str, Any]) -> None:
    for name, (low, high) in _LIMITS.items():
        if not low <= options[name] <= high:  # False for NaN too
            option = '--' + name.replace('_', '-')
            raise UserError(f'{option} must lie in {low}..{high}, got {options[name]}')
    for name, known in _CHOICES.items():
        if options[name] not in known:
            option = '--' + name.replace('_', '-')
            raise UserError(f'{option} must be one of {", ".join(known)}, got {options[name]}')
    data, lists = options['data'], options['lists']
    if not data:
        raise UserError('give a folder or a config to check')
    folders = [Path(item) for item in data if Path(item).is_dir()]
    if options['cfg_options'] and len(folders) == len(data):
        raise UserError('--cfg-options needs a config as DATA')
    given = [name for name in _FOLDER_OPTIONS if options[name] not in (None, 'auto')]
    if given and not folders:
        option = '--' + given[0].replace('_', '-')
        raise UserError(f'{option} needs a folder as DATA: a config says it itself')
    if lists and (len(data) != 1 or not folders):
        raise UserError('--list needs exactly one DATA, which must be a folder')
    for name, file in lists.items():
        if not file.is_file():
            raise UserError(f'--list: no such file: {file}')
        if '/' in name:
            raise UserError(f'--list: a name has no slash, got {name!r}')
        if (folders[0] / f'{name}.txt').exists():
            raise UserError(f'--list: {folders[0]} has a list {name!r}; give another NAME=FILE')
    for option, suffix in (('json', '.json'), ('sheet', '.png')):
        path = options[option]
        if path is not None and Path(path).suffix.lower() != suffix:
            raise UserError(f'--{option} must end in {suffix}, got {path}')


def _read_sources(
    data: Sequence[str | Path],
    layout: Layout,
    mask_mode: str,
    cfg_options: Mapping[str, Any] | None,
    findings: Findings,
) -> list[_Source]:
    """Read the splits of every DATA; each is named after its folder or config."""
    guess = mask_mode == 'auto'
    rule = MaskRule('guess', origin='found') if guess else MaskRule(mask_mode, origin='given')
    sources: list[_Source] = []
    for item in data:
        path = Path(item) if Path(item).is_dir() else find_config(item)
        name = path.resolve().name if path.is_dir() else path.stem
        taken = sum(source.name.partition('#')[0] == name for source in sources)
        name = f'{name}#{taken + 1}' if taken else name
        if path.is_dir():
            splits = from_folder(path, name, layout, rule, findings)
        else:
            splits = from_config(path, name, cfg_options, findings)
        masks = sorted({mask for split in splits for _, mask in split.pairs if mask})
        unknown = [split for split in splits if split.rule.mode == 'guess']
        if unknown:
            found = guess_rule(masks, unknown[0].rule)
            for split in unknown:
                split.rule = found
        sources.append(_Source(name, path, splits))
    return sources


def _check_output(
    option: str, path: str | Path | None, sources: Sequence[_Source], layout: Layout, force: bool
) -> None:
    """Refuse to write over, or beside, what is read: originals are never changed."""
    if path is None:
        return
    splits = [split for source in sources for split in source.splits]
    read = {file for split in splits for pair in split.pairs for file in pair if file}
    folders = {os.path.dirname(file) for file in read}
    read |= {split.source for split in splits}
    for source in sources:
        if source.path.is_dir():
            folders.update(layout.folders(source.path))
            read.update(map(str, source.path.glob('*.txt')))
    read |= {str(file) for file in (*(source.path for source in sources), *layout.lists.values())}
    check_output(option, path, sorted(read), force)
    real_folders = {Path(folder).resolve() for folder in folders}
    # a link may be replaced where it lies, so that both ends of it count
    for place in (Path(path).resolve(), Path(path).parent.resolve() / Path(path).name):
        inside = real_folders.intersection(place.parents)
        if inside:
            raise UserError(
                f'{option} {path} lies in {min(inside)}, a folder of images or masks that is '
                'checked: give a place outside of it'
            )


def _describe(
    sources: Sequence[_Source],
    members: Sequence[Sequence[int]],
    scans: Sequence[Scan],
    findings: Findings,
) -> Iterator[dict[str, Any]]:
    """Describe every data set and its splits."""
    place = iter(members)
    for source in sources:
        indices = [next(place) for _ in source.splits]
        every = [scans[i] for i in sorted({i for found in indices for i in found})]
        split_stats.summarise(source.name, every, findings)
        for split, found in zip(source.splits, indices, strict=True):
            split_stats.judge_masks(split, [scans[i] for i in found], findings)
        edges = split_stats.tercile_edges(every)
        yield dict(
            name=source.name,
            path=str(source.path),
            tercile_edges=[round(edge, 6) for edge in edges] if edges else None,
            splits=[
                split_stats.split_statistics(split, [scans[i] for i in found], edges)
                for split, found in zip(source.splits, indices, strict=True)
            ],
        )


def _as_json(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options as JSON can hold them, ``lists`` under the name of its option."""
    found: dict[str, Any] = {
        key: str(value) if isinstance(value, Path) else value for key, value in options.items()
    }
    found['data'] = [str(path) for path in options['data']]
    found['list'] = {name: str(path) for name, path in found.pop('lists').items()}
    found['cfg_options'] = {k: repr(v) for k, v in (options['cfg_options'] or {}).items()}
    return dict(sorted(found.items()))
