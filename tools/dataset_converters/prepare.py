"""Usage: python tools/dataset_converters/prepare.py NAME SRC [SRC ...] OUT [options].

Bring a data set, as its owners distribute it, into the layout of BinaryMedicalDataset:

    OUT/images/x.jpg    the original files, byte by byte
    OUT/masks/x.png     one channel, 0 background, 1 foreground
    OUT/train.txt ...   one list of names per split
    OUT/dataset.json    what was made from what

SRC is an archive (zip, tar) or a folder; give several where the owners distribute several. It is
only read. Every problem of the files is found before the first is written. A stopped run goes on
where it was when the command is repeated; a finished one is checked. docs/datasets.md says where
each data set comes from. The options of one: prepare.py NAME --help.

Examples:
    python tools/dataset_converters/prepare.py kvasir_seg kvasir-seg.zip data/kvasir-seg
    python tools/dataset_converters/prepare.py isic2016 ISBI2016_ISIC_Part1_*.zip data/isic2016
    python tools/dataset_converters/prepare.py custom my_images/ data/custom --groups patients.csv
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from _prepare.build import Builder
from _prepare.custom import add_custom_arguments, check_custom_arguments, plan_custom
from _prepare.findings import Findings, PrepareError, some
from _prepare.glas import plan_glas
from _prepare.isic import plan_isic2016, plan_isic2017
from _prepare.plan import Plan, images_of
from _prepare.polyps import (
    add_cvc_arguments,
    add_sessile_arguments,
    plan_cvc_clinicdb,
    plan_kvasir_seg,
    plan_kvasir_sessile,
)
from _prepare.sources import Entry, Source, is_archive, refuse_overlap
from _prepare.splits import SPLITS, check_fractions
from rich.console import Console

from condseg_mmseg.utils.arguments import refuse_inputs


@dataclass(frozen=True)
class Recipe:
    """One sub-command: its layout in words, its plan, its own arguments."""

    layout: str
    plan: Callable[[Sequence[Entry], argparse.Namespace, Findings], Plan]
    add_arguments: Callable[[argparse.ArgumentParser], None] = lambda parser: None


RECIPES = {
    'kvasir_seg': Recipe('kvasir-seg.zip: images/ and masks/; official lists', plan_kvasir_seg),
    'kvasir_sessile': Recipe(
        'kvasir-seg.zip, or the archive of its sessile subset: images/ and masks/',
        plan_kvasir_sessile,
        add_sessile_arguments,
    ),
    'glas': Recipe(
        'warwick_qu_dataset_released_2016_07_08.zip: train_N.bmp, testA_N.bmp, testB_N.bmp, '
        'X_anno.bmp, Grade.csv',
        plan_glas,
    ),
    'isic2016': Recipe('ISBI2016_ISIC_Part1_{Training,Test}_{Data,GroundTruth}.zip', plan_isic2016),
    'isic2017': Recipe(
        'ISIC-2017_{Training,Validation,Test_v2}_{Data,Part1_GroundTruth}.zip', plan_isic2017
    ),
    'cvc_clinicdb': Recipe(
        'the unpacked CVC-ClinicDB.rar, or a zip: Original/ and Ground Truth/; split by sequence',
        plan_cvc_clinicdb,
        add_cvc_arguments,
    ),
    'custom': Recipe('your own: images/ and masks/', plan_custom, add_custom_arguments),
}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    usage, text = __doc__.split('\n\n', 1)
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        usage=usage.removeprefix('Usage: ').rstrip('.'), description=text, formatter_class=formatter
    )
    commands = parser.add_subparsers(dest='dataset', metavar='NAME', required=True)
    for name, recipe in RECIPES.items():
        sub = commands.add_parser(
            name,
            help=recipe.layout,
            description=f'SRC: {recipe.layout}.',
            prog=f'prepare.py {name}',
        )
        sub.add_argument('src', nargs='+', type=Path, metavar='SRC', help='archive or folder')
        sub.add_argument('out', type=Path, metavar='OUT', help='folder to make or to complete')
        sub.add_argument('--force', action='store_true', help='replace files of other content')
        sub.add_argument(
            '--allow-incomplete',
            action='store_true',
            help='go on with what is there: leave out images without mask, masks without image, '
            'and names of known lists that are missing',
        )
        sub.add_argument('--dry-run', action='store_true', help='check all files, write nothing')
        sub.add_argument('--workers', type=int, default=2, metavar='N', help='threads (default: 2)')
        recipe.add_arguments(sub)
    args = parser.parse_args(argv)
    try:
        if args.workers < 1:
            raise ValueError(f'--workers must be at least 1, got {args.workers}')
        if args.dataset == 'custom':
            check_custom_arguments(args)
        if getattr(args, 'split', None) is not None:
            check_fractions(args.split)
        if args.force:  # otherwise no file is replaced
            lists = [getattr(args, name, None) for name in (*SPLITS, 'groups')]
            for name in (*(f'{split}.txt' for split in SPLITS), 'dataset.json'):
                refuse_inputs('OUT', args.out / name, lists)
    except ValueError as error:
        commands.choices[args.dataset].error(str(error))
    return args


def prepare(args: argparse.Namespace, console: Console) -> None:
    """Make or complete a data set.

    Args:
        args: What :func:`parse_args` returns.
        console: Gets the progress bar and the warnings.

    Raises:
        PrepareError: The files have problems; nothing was written.
        OSError: Something went wrong while writing.
    """
    findings = Findings(args.allow_incomplete)
    refuse_overlap(args.src, args.out)
    if args.out.exists() and not args.out.is_dir():
        raise PrepareError(f'OUT {args.out} is a file; give a folder')
    sources: list[Source] = []
    try:
        for path in args.src:
            sources.append(Source(path))
        entries = [entry for source in sources for entry in source.entries()]
        archives = [entry for entry in entries if is_archive(entry.name)]
        if archives and not images_of(entries):
            raise PrepareError(
                f'SRC holds archives and no image: give them as SRC: {some(archives)}'
            )
        plan = RECIPES[args.dataset].plan(entries, args, findings)
        findings.stop()
        builder = Builder(plan, sources, args.out, findings, args.force, args.workers, console)
        todo, texts = builder.check(args.dataset)
        for warning in findings.warnings:
            console.print(f'warning: {warning}', style='yellow', markup=False, soft_wrap=True)
        if not args.dry_run:
            builder.write(todo, texts)
    finally:
        for source in sources:
            source.close()
    lists = ', '.join(f'{len(names)} in {file}' for file, names in plan.lists.items())
    made = f'{len(todo)} files {"to write" if args.dry_run else "written"}'
    print(f'{args.out}: {len(plan.pairs)} images ({lists}); {made}')


def main(argv: list[str] | None = None) -> int:
    """Command line."""
    args = parse_args(argv)
    try:
        prepare(args, Console(stderr=True))
    except PrepareError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    except OSError as error:
        print(f'error: {error}; repeat the command to go on', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('stopped; repeat the command to go on', file=sys.stderr)
        return 130
    return 0


if __name__ == '__main__':
    sys.exit(main())
