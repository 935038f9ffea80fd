"""``condseg prepare``: data sets from their owners' files, and the generated one."""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields
from pathlib import Path

from rich.console import Console

from condseg_mmseg.preparation import RECIPES, SceneKnobs, make_demo_dataset, prepare

from .progress import progress_bar

_TEXT = """\
Bring a data set, as its owners distribute it, into the layout of BinaryMedicalDataset:

  OUT/images/x.jpg    the original files, byte by byte
  OUT/masks/x.png     one channel, 0 background, 1 foreground
  OUT/train.txt ...   one list of names per split
  OUT/dataset.json    what was made from what

SRC is an archive (zip, tar) or a folder; give several where the owners distribute several. It is
only read. Every problem of the files is found before the first is written. A stopped run goes on
where it was when the command is repeated; a finished one is checked. docs/datasets.md says where
each data set comes from. The options of one: condseg prepare NAME --help.

  condseg prepare kvasir_seg kvasir-seg.zip data/kvasir-seg
  condseg prepare isic2016 ISBI2016_ISIC_Part1_*.zip data/isic2016
  condseg prepare custom my_images/ data/custom --groups patients.csv
  condseg prepare demo data/demo --seed 0
"""


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add the sub-command."""
    parser = commands.add_parser(
        'prepare', help="data sets from their owners' files", description=_TEXT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    names = parser.add_subparsers(dest='name', metavar='NAME', required=True)
    special = dict(kvasir_sessile=_add_sessile, cvc_clinicdb=_add_cvc, custom=_add_custom)
    for name, (_, layout) in RECIPES.items():
        sub = names.add_parser(name, help=layout, description=f'SRC: {layout}.')
        sub.set_defaults(run=run)
        add = sub.add_argument
        add('sources', nargs='+', type=Path, metavar='SRC', help='archive or folder')
        add('out', type=Path, metavar='OUT', help='folder to make or to complete')
        add('--force', action='store_true', help='replace files of other content')
        add('--allow-incomplete', action='store_true',
            help='go on with what is there: leave out images without mask, masks without image, '
            'and names of known lists that are missing')  # fmt: skip
        add('--dry-run', action='store_true', help='check all files, write nothing')
        add('--workers', type=int, default=2, metavar='N', help='threads (default: 2)')
        if name in special:
            special[name](sub)
    _add_demo(names)


def _add_sessile(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--names', type=Path, metavar='FILE',
        help='the names of the subset, one a line (default: the 195 of 196 that are shipped)',
    )  # fmt: skip


def _add_cvc(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--sequences', type=Path, metavar='FILE',
        help='comma-separated table with the columns frame,sequence (default: the shipped one, '
        'configs/splits/cvc-clinicdb/sequences.csv)')  # fmt: skip
    _add_split(parser, 'shares of the frames; sequences stay whole')


def _add_split(parser: argparse._ActionsContainer, text: str) -> None:
    none = argparse.SUPPRESS
    parser.add_argument('--split', type=float, nargs=3, default=none, metavar=('TRAIN', 'VAL',
        'TEST'), help=f'{text} (default: 0.8 0.1 0.1)')  # fmt: skip
    parser.add_argument('--seed', type=int, default=none, help='seed of the split (default: 0)')


def _add_custom(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group('which files').add_argument
    for kind in ('image', 'mask'):
        add(f'--{kind}s', default=f'{kind}s', metavar='FOLDER',
            help=f'folder of the {kind}s in SRC; . for all of SRC (default: {kind}s)',
        )  # fmt: skip
        add(f'--{kind}-suffix', default='', metavar='SUFFIX',
            help=f'what follows the name in the {kind} files, with an ending (_m.png) or without '
            '(_m) (default: nothing)')  # fmt: skip
    add = parser.add_argument_group('what is foreground').add_argument
    add('--mask-mode', choices=('threshold', 'nonzero'), default='threshold',
        help='threshold: masks of 0 and 255, JPEG noise allowed; nonzero: labels, 0 is background '
        '(default: threshold)')  # fmt: skip
    add('--threshold', type=int, metavar='VALUE',
        help='foreground is above it, 0..254 (default: 127)')  # fmt: skip
    add('--force-mode', action='store_true',
        help='masks whose values do not fit the mode are a warning, not an error')  # fmt: skip
    group = parser.add_argument_group('split')
    _add_split(group, 'shares of the images')
    group.add_argument('--groups', type=Path, metavar='FILE',
        help='comma-separated table, a header and then name,group a line: images of one group '
        '(patient, video) stay in one split')  # fmt: skip
    for name in ('train', 'val', 'test'):
        text = f'list of names for {name}, instead of --split'
        group.add_argument(f'--{name}', type=Path, metavar='FILE', help=text)


def _add_demo(names: argparse._SubParsersAction) -> None:
    text = 'endoscopy-like scenes with soft-edged polyps'
    parser = names.add_parser('demo', help=f'generated: {text}', description=f'Generate {text}.')
    parser.set_defaults(run=run_demo)
    add = parser.add_argument
    add('out', type=Path, metavar='OUT', help='folder to make')
    add('--seed', type=int, default=0, help='>= 0 (default: 0)')
    for split, number in dict(train=320, val=64, test=64).items():
        add(f'--num-{split}', type=int, default=number, help=f'default: {number}')
    add('--force', action='store_true', help='replace a set made by this tool')
    add('--reuse', action='store_true', help='do nothing if the same parameters made OUT')
    add = parser.add_argument_group('scene').add_argument
    for knob in fields(SceneKnobs):
        name, default = '--' + knob.name.replace('_', '-'), knob.default
        parts = default if isinstance(default, tuple) else (default,)
        more = dict(nargs=2, metavar=('LOW', 'HIGH')) if parts is default else {}
        text = f'{knob.metadata["help"]} (default: {" ".join(map(str, parts))})'
        add(name, type=type(parts[0]), default=default, help=text, **more)


def run(args: argparse.Namespace) -> int:
    """Prepare a data set, and print what was made."""
    options = {key: value for key, value in vars(args).items() if key not in ('run', 'command')}
    try:
        with progress_bar() as progress:
            made = prepare(progress=progress, **options)
    except KeyboardInterrupt:
        print('repeat the command to go on', file=sys.stderr)
        raise
    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    for warning in made.warnings:
        console.print(f'warning: {warning}', style='yellow', soft_wrap=True)
    lists = ', '.join(f'{number} in {file}' for file, number in made.lists.items())
    done = 'to write' if args.dry_run else 'written'
    print(f'{args.out}: {made.images} images ({lists}); {made.files} files {done}')
    return 0


def run_demo(args: argparse.Namespace) -> int:
    """Make the generated data set, and print what a threshold on brightness scores."""
    values = {knob.name: getattr(args, knob.name) for knob in fields(SceneKnobs)}
    values = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    counts = (args.num_train, args.num_val, args.num_test)
    knobs = SceneKnobs(**values)
    record = make_demo_dataset(args.out, knobs, args.seed, counts, args.force, args.reuse)
    base = record['brightness_baseline']
    print(f'{args.out}: ' + ', '.join(f'{n} {split}' for split, n in record['counts'].items()))
    scores = ', '.join(f'{split} {score:.3f}' for split, score in base['mDice'].items())
    side = f'{base["foreground"]}, {base["threshold"]}'
    print(f'best threshold on brightness ({side}), mean Dice: {scores}')
    return 0
