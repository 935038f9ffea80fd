"""``condseg check``: the data doctor, and ``--environment``: the installation."""

from __future__ import annotations

import argparse
from pathlib import Path

from condseg_mmseg.doctor import check_dataset, check_environment
from condseg_mmseg.doctor.report import print_report
from condseg_mmseg.doctor.scan import default_workers
from condseg_mmseg.utils.cfg_options import read_options
from condseg_mmseg.utils.errors import UserError

from .progress import progress_bar

_TEXT = """\
Look for what spoils training and scores before hours go into them.

  condseg check data/kvasir-seg
  condseg check condseg_r50_1xb12-300e_kvasir-seg-256x256 --json out.json --sheet out.png
  condseg check data/kvasir-seg data/kvasir-sessile
  condseg check data/kvasir-seg --list sessile=names.txt
  condseg check glas --seg-map-suffix _anno
  condseg check --environment

DATA is a config (its path or name), of which every data set of the dataloaders is read, or a
folder: images/, masks/ and lists (*.txt) of stems, one a split; without lists all images are one
split. A folder without images/ holds images and masks side by side. Several DATA are compared with
each other.

Every file is read; none is changed, and nothing is written into a folder of images or masks. All
problems are collected, a broken file hides no other one. Exit status: 0 nothing but notes,
1 warnings, 3 errors, 2 a wrong command line. docs/data-doctor.md lists what is found.

--environment prints the versions, what works, what is missing, and the command that fixes it. Exit
status: 0 nothing needed is missing, 1 something is.
"""


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add the sub-command."""
    parser = commands.add_parser(
        'check', help='the data doctor; --environment: what is installed and works',
        description=_TEXT, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.set_defaults(run=run)
    add = parser.add_argument
    add('data', nargs='*', type=Path, metavar='DATA', help='config or folder')
    add('--environment', action='store_true', help='check the installation instead of data')
    add = parser.add_argument_group('folders').add_argument
    add('--list', action='append', default=[], metavar='[NAME=]FILE',
        help='a further split of the (only) folder; its use is read from NAME or from the name of '
        'FILE: train, val or test')  # fmt: skip
    add('--img-dir', help='images, relative to DATA (default: images, else DATA)')
    add('--mask-dir', help='masks (default: masks, else the folder of the images)')
    add('--img-suffix', help='as in BinaryMedicalDataset')
    add('--seg-map-suffix', help='as in BinaryMedicalDataset, e.g. _anno')
    add('--mask-mode', choices=('auto', 'threshold', 'nonzero'), default='auto',
        help='how to read masks: > 127, > 0, or as most of them look (default: auto)')  # fmt: skip
    add = parser.add_argument_group('limits').add_argument
    add('--near-distance', type=int, default=10, metavar='BITS',
        help='most signs of 64 in which near duplicates differ (default: 10)')  # fmt: skip
    add('--near-correlation', type=float, default=0.9, metavar='R',
        help='least correlation of near duplicates; above 1: none (default: 0.9)')  # fmt: skip
    add('--tiny', type=float, default=1e-4, metavar='SHARE',
        help='share of the picture below which an object is a speck (default: 0.0001)')  # fmt: skip
    add = parser.add_argument_group('output').add_argument
    add('--json', type=Path, metavar='FILE', help='write everything found')
    add('--sheet', type=Path, metavar='FILE.png', help='draw what is suspicious')
    add('--sheet-num', type=int, default=40, help='most drawn (default: 40)')
    add('--force', action='store_true', help='replace the files of --json and --sheet')
    add('--fail-on', choices=('error', 'warning', 'never'), default='warning',
        help='least severity for which the exit status is not 0 (default: warning)')  # fmt: skip
    workers = default_workers()
    parser.add_argument('--workers', type=int, default=workers, help=f'default: {workers}')
    parser.add_argument(
        '--cfg-options', nargs='+', action='extend', default=[], metavar='KEY=VALUE',
        help='changes of the configs; put it last',
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Check, print, and return the exit status."""
    if args.environment:
        for given in (*args.data, args.json, args.sheet):
            if given:
                raise UserError(f'--environment checks the installation, not data: {given}')
        return _environment()
    options = vars(args) | dict(lists=_lists(args.list), cfg_options=read_options(args.cfg_options))
    for name in ('run', 'command', 'environment', 'list'):
        options.pop(name)
    with progress_bar() as progress:
        record = check_dataset(progress=progress, **options)
    print_report(record)
    return record['exit_status']


def _lists(texts: list[str]) -> dict[str, Path]:
    lists: dict[str, Path] = {}
    for text in texts:
        name, _, file = text.rpartition('=')
        name = name or Path(file).stem
        if name in lists:
            raise UserError(f'--list: two lists are called {name!r}; give NAME=FILE')
        lists[name] = Path(file)
    return lists


def _environment() -> int:
    versions, parts = check_environment()
    print(', '.join(f'{name} {version}' for name, version in versions.items()))
    for part in parts:
        state = 'works' if part.works else 'MISSING' if part.needed else 'not there'
        print(f'{part.name}: {state}: {part.detail}')
        if part.fix:
            print(f'    to fix it: {part.fix}')
    return int(any(part.needed and not part.works for part in parts))
