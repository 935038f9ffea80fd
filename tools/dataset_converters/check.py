"""check.py DATA [DATA ...]: the data doctor, which looks for what spoils training and scores.

    python tools/dataset_converters/check.py data/kvasir-seg
    python tools/dataset_converters/check.py configs/condseg/NAME.py --json out.json --sheet out.png
    python tools/dataset_converters/check.py data/kvasir-seg data/kvasir-sessile
    python tools/dataset_converters/check.py data/kvasir-seg --list sessile=names.txt
    python tools/dataset_converters/check.py glas --seg-map-suffix _anno

DATA is a config, of which every data set of its dataloaders is read, or a folder: images/, masks/
and lists (*.txt) of stems, one a split; without lists all images are one split. A folder without
images/ holds images and masks side by side. Several DATA are compared with each other.

Every file is read; none is changed, and nothing is written into a folder of images or masks. All
problems are collected, a broken file hides no other one. Exit status: 0 nothing but notes,
1 warnings, 3 errors, 2 a wrong command line. docs/data-doctor.md says what is found.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from _check import leakage, report, scan, sheet, split_stats
from _check.configs import from_config
from _check.findings import Findings
from _check.masks import MaskRule
from _check.sources import Layout, Split, from_folder
from mmengine.config import DictAction
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from condseg_mmseg.utils.arguments import refuse_inputs


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('data', nargs='+', type=Path, metavar='DATA', help='config or folder')
    folder = parser.add_argument_group('folders')
    folder.add_argument(
        '--list', action='append', default=[], metavar='[NAME=]FILE',
        help='a further split of the (only) folder; its use is read from NAME or from the name of '
        'FILE: train, val or test',
    )  # fmt: skip
    folder.add_argument('--img-dir', help='images, relative to DATA (default: images, else DATA)')
    folder.add_argument('--mask-dir', help='masks (default: masks, else the folder of the images)')
    folder.add_argument('--img-suffix', help='as in BinaryMedicalDataset')
    folder.add_argument('--seg-map-suffix', help='as in BinaryMedicalDataset, e.g. _anno')
    folder.add_argument(
        '--mask-mode', choices=('auto', 'threshold', 'nonzero'), default='auto',
        help='how masks are read: > 127, > 0, or what most of them look like (default: auto)',
    )  # fmt: skip
    limits = parser.add_argument_group('limits')
    limits.add_argument(
        '--near-distance', type=int, default=10, metavar='BITS',
        help='most of the 64 signs of the hash in which near duplicates differ (default: 10)',
    )  # fmt: skip
    limits.add_argument(
        '--near-correlation', type=float, default=0.9, metavar='R',
        help='least correlation of near duplicates; above 1: do not look (default: 0.9)',
    )  # fmt: skip
    limits.add_argument(
        '--tiny', type=float, default=1e-4, metavar='SHARE',
        help='share of the picture below which an object is a speck (default: 0.0001)',
    )  # fmt: skip
    output = parser.add_argument_group('output')
    output.add_argument('--json', type=Path, metavar='FILE', help='write everything found')
    output.add_argument('--sheet', type=Path, metavar='FILE.png', help='draw what is suspicious')
    output.add_argument('--sheet-num', type=int, default=40, help='most drawn (default: 40)')
    output.add_argument(
        '--fail-on', choices=('error', 'warning', 'never'), default='warning',
        help='least severity for which the exit status is not 0 (default: warning)',
    )  # fmt: skip
    workers = scan.default_workers()
    parser.add_argument('--workers', type=int, default=workers, help=f'default: {workers}')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, help='key=value ... for configs; put it last'
    )
    args = parser.parse_args(argv)
    _check_args(parser, args)
    return args


def _check_args(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    for name, low, high in (
        ('workers', 1, 256), ('sheet_num', 1, 10_000), ('near_distance', 0, 64),
        ('near_correlation', 0.1, 2), ('tiny', 0, 1),
    ):  # fmt: skip
        if not low <= getattr(args, name) <= high:  # False for NaN too
            option = '--' + name.replace('_', '-')
            parser.error(f'{option} must lie in {low}..{high}, got {getattr(args, name)}')
    for path in args.data:
        if not path.is_dir() and not (path.is_file() and path.suffix == '.py'):
            parser.error(f'{path} is neither a folder nor a config (.py)')
    folders = [path for path in args.data if path.is_dir()]
    if args.list and len(args.data) + len(folders) != 2:
        parser.error('--list goes with exactly one DATA, which must be a folder')
    lists = {}
    for text in args.list:
        name, _, file = text.rpartition('=')
        if not Path(file).is_file():
            parser.error(f'--list: no such file: {file}')
        name = name or Path(file).stem
        if name in lists:
            parser.error(f'--list: two lists are called {name!r}; give NAME=FILE')
        if '/' in name:
            parser.error(f'--list: a name has no slash, got {name!r}')
        lists[name] = Path(file)
    args.list = lists
    for option, path in (('--json', args.json), ('--sheet', args.sheet)):
        if path is not None and path.is_dir():
            parser.error(f'{option}: {path} is a folder')
        wanted = {'--json': '.json', '--sheet': '.png'}[option]
        if path is not None and path.suffix.lower() != wanted:
            parser.error(f'{option} must end in {wanted}, got {path}')


def data_set_names(paths: list[Path]) -> list[str]:
    """Name data sets after their folders or configs; those of one name are numbered."""
    names: list[str] = []
    for path in paths:
        name = path.stem if path.suffix == '.py' else path.resolve().name
        taken = sum(other.partition('#')[0] == name for other in names)
        names.append(f'{name}#{taken + 1}' if taken else name)
    return names


def read_sources(args: argparse.Namespace, findings: Findings) -> list[list[Split]]:
    """Return the splits of every DATA."""
    mode = 'guess' if args.mask_mode == 'auto' else args.mask_mode
    rule = MaskRule(mode, origin='found' if mode == 'guess' else 'given')
    layout = Layout(args.img_dir, args.mask_dir, args.img_suffix, args.seg_map_suffix, args.list)
    sources = []
    for path, name in zip(args.data, data_set_names(args.data), strict=True):
        if path.is_dir():
            splits = from_folder(path, name, layout, rule, findings)
        else:
            splits = from_config(path, name, args.cfg_options, findings)
        masks = sorted({mask for split in splits for _, mask in split.pairs if mask})
        guess = next((split.rule for split in splits if split.rule.mode == 'guess'), None)
        if guess:
            found = scan.guess_rule(masks, guess)
            for split in splits:
                split.rule = found if split.rule.mode == 'guess' else split.rule
        sources.append(splits)
    return sources


def check_output(args: argparse.Namespace, sources: list[list[Split]]) -> None:
    """Refuse to write over, or beside, what is read: originals are never changed.

    Args:
        args: From :func:`parse_args`.
        sources: From :func:`read_sources`.

    Raises:
        ValueError: ``--json`` or ``--sheet`` is a file that is read, or lies in a folder of images
            or masks, links followed.
    """
    splits = [split for source in sources for split in source]
    read = {file for split in splits for pair in split.pairs for file in pair if file}
    folders = {os.path.dirname(file) for file in read}
    read |= {split.source for split in splits}
    layout = Layout(args.img_dir, args.mask_dir)
    for path in args.data:
        if path.is_dir():
            folders.update(layout.folders(path))
            read.update(map(str, path.glob('*.txt')))
    read.update(map(str, [*args.data, *args.list.values()]))
    real_folders = {Path(folder).resolve() for folder in folders}
    for option, path in (('--json', args.json), ('--sheet', args.sheet)):
        if path is None:
            continue
        refuse_inputs(option, path, sorted(read))
        # a link is replaced where it lies, so that both ends of it count
        for place in (path.resolve(), path.parent.resolve() / path.name):
            inside = real_folders.intersection(place.parents)
            if inside:
                raise ValueError(
                    f'{option} {path} lies in {min(inside)}, a folder of images or masks that is '
                    'checked: give a place outside of it'
                )


def examine(args: argparse.Namespace, findings: Findings) -> tuple[dict, dict]:
    """Do everything but the output.

    Args:
        args: From :func:`parse_args`.
        findings: Filled.

    Returns:
        The record for the table and the JSON file, and for the sheet the pair of every file.

    Raises:
        ValueError: If a config cannot be read, or the output would go where the data is.
    """
    sources = read_sources(args, findings)
    check_output(args, sources)
    splits = [split for source in sources for split in source]
    jobs: dict[tuple, int] = {}
    members = [
        [jobs.setdefault((pair, split.rule), len(jobs)) for pair in split.pairs] for split in splits
    ]
    scans = scan_with_progress(list(jobs), args)
    users: list[list[str]] = [[] for _ in scans]
    for split, indices in zip(splits, members, strict=True):
        for index in indices:
            users[index].append(split.full_name)
    told = set()
    for result, names in zip(scans, users, strict=True):
        for kind, detail, files in result.problems:
            key = (kind, detail, *files)  # an image may be in two pairs
            if key not in told:
                findings.add(kind, detail, files, names)
            told.add(key)
    pictures = leakage.Pictures(splits, members, scans)
    leakage.find_same(pictures, findings)
    near = leakage.find_near(pictures, findings, args.near_distance, args.near_correlation)
    data_sets = list(_describe(args.data, sources, members, scans, findings))
    record = report.make_record(
        json_options(args),
        data_sets,
        leakage.overlaps(pictures, near),
        findings,
        [report.image_record(*pair) for pair in zip(scans, users, strict=True)],
        args.fail_on,
    )
    known = {}
    for (image, mask), rule in jobs:
        for file in filter(None, (image, mask)):
            known.setdefault(file, (image, mask, rule))
    return record, known


def _describe(
    paths: list[Path], sources: list, members: list, scans: list, findings: Findings
) -> Iterator[dict]:
    """Describe every data set and its splits."""
    place = iter(members)
    for path, name, splits in zip(paths, data_set_names(paths), sources, strict=True):
        indices = [next(place) for _ in splits]
        every = [scans[i] for i in sorted({i for found in indices for i in found})]
        split_stats.summarise(name, every, findings)
        edges = split_stats.tercile_edges(every)
        yield dict(
            name=name,
            path=str(path),
            tercile_edges=[round(edge, 6) for edge in edges] if edges else None,
            splits=[
                split_stats.split_statistics(split, [scans[i] for i in found], edges)
                for split, found in zip(splits, indices, strict=True)
            ],
        )


def json_options(args: argparse.Namespace) -> dict:
    """Return the command line as JSON can hold it."""
    options = vars(args) | dict(
        data=[str(path) for path in args.data],
        list={name: str(path) for name, path in args.list.items()},
        cfg_options={key: repr(value) for key, value in (args.cfg_options or {}).items()},
    )
    return {k: str(v) if isinstance(v, Path) else v for k, v in sorted(options.items())}


def scan_with_progress(jobs: list[tuple], args: argparse.Namespace) -> list[scan.Scan]:
    """Scan with a bar on stderr."""
    columns = (TextColumn('reading'), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task('', total=len(jobs))
        return scan.scan_all(jobs, args.tiny, args.workers, lambda: progress.advance(task))


def main(argv: list[str] | None = None) -> int:
    """Command line."""
    args = parse_args(argv)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, 'reconfigure'):
            stream.reconfigure(errors='backslashreplace')  # file names may hold anything
    findings = Findings()
    try:
        record, known = examine(args, findings)
    except ValueError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    report.print_report(record, findings)
    try:
        if args.json:
            report.write_json(args.json, record)
        if args.sheet:
            sheet.write_sheet(args.sheet, sheet.draw(findings, known, args.sheet_num))
    except OSError as error:
        print(f'error: cannot write: {error}', file=sys.stderr)
        return 2
    return record['exit_status']


if __name__ == '__main__':
    sys.exit(main())
