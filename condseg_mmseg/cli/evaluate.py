"""``condseg evaluate``: a folder of predictions, or a checkpoint on its test set."""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path
from typing import Any

from condseg_mmseg.apis.evaluate_checkpoint import evaluate_checkpoint
from condseg_mmseg.apis.evaluate_folder import evaluate_folder
from condseg_mmseg.configs import find_config
from condseg_mmseg.datasets.load_binary_mask import MODES as MASK_MODES
from condseg_mmseg.evaluation.extra_scores import EXTRA_SCORES, MAP_NORMS
from condseg_mmseg.evaluation.functional import EMPTY_POLICIES
from condseg_mmseg.evaluation.per_image_metric import SCORE_KEYS
from condseg_mmseg.evaluation.prediction_folder import MODES
from condseg_mmseg.evaluation.sizes import SIZE_GROUPS
from condseg_mmseg.utils.cfg_options import read_options
from condseg_mmseg.utils.errors import UserError
from condseg_mmseg.utils.tables import number, table
from condseg_mmseg.utils.text import count, first_ten

from .progress import progress_bar

_DESCRIPTION = """\
Score a folder of predicted masks or probability maps against a folder of true masks, whatever
program made them; or test a checkpoint on the test set of its config, as mmseg does.

PREDICTIONS holds one image per image of MASKS, of the same name (endings may differ): grey values
0..255 are probabilities, 0/255 and 0/1 masks are recognised. MASKS holds 0/1 or 0/255 masks; which
of them is decided for each file. The scores are those of PerImageBinaryMetric: per image on the
foreground, averaged over images (docs/scores.md)."""


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add the sub-command."""
    parser = commands.add_parser(
        'evaluate',
        help='score a folder of predictions, or a checkpoint on its test set',
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('what', metavar='PREDICTIONS|CONFIG', help='a folder, or a config')
    parser.add_argument(
        'against',
        metavar='MASKS|CHECKPOINT',
        help='masks for a folder, else a checkpoint',
    )
    parser.add_argument('--csv', type=Path, help='file for the scores of every image')
    parser.add_argument('--json', type=Path, help='file for settings and results')
    parser.add_argument('--force', action='store_true', help='replace files that are there')
    parser.set_defaults(
        run=run,
        folder=_folder_options(parser.add_argument_group('with a folder of predictions')),
        config=_config_options(parser.add_argument_group('with a config and a checkpoint')),
    )


def _folder_options(group: argparse._ArgumentGroup) -> list[argparse.Action]:
    add = group.add_argument
    return [
        add('--list', dest='names', metavar='LIST',
            help='text file of names to score, one a line (default: all)'),
        add('--pred-suffix', help="what follows the name in PREDICTIONS, e.g. '_pred'"),
        add('--gt-suffix', help="what follows the name in MASKS, e.g. '_segmentation'"),
        add('--allow-missing', action='store_true', help='leave out images without a counterpart'),
        add('--pred-mode', choices=MODES, default='auto',
            help='grey values as probabilities, or labels with all but 0 foreground '
            '(default: detect)'),
        add('--threshold', type=float, default=0.5,
            help='foreground is p > threshold (default: 0.5)'),
        add('--mask-mode', choices=MASK_MODES, default='auto',
            help='true masks: 0/1 or 0/255, recognised file by file; above 127 of 255; or labels '
            'with all but 0 foreground (default: auto)'),
        add('--size', type=int, nargs=2, metavar=('HEIGHT', 'WIDTH'),
            help='compare at this size (protocol input_size)'),
        add('--protocol', choices=('original', 'input_size'),
            help='compare at the size of the truth (default), or of the prediction'),
        add('--strict-size', action='store_true',
            help='refuse predictions that would have to be resized'),
        add('--empty-policy', choices=EMPTY_POLICIES, default='strict',
            help='what an empty truth or prediction scores (default: strict)'),
        add('--extra-metrics', nargs='+', action='extend', default=[], metavar='NAME',
            choices=(*EXTRA_SCORES, 'all'),
            help=f'further scores: {", ".join(EXTRA_SCORES)}, or all'),
        add('--map-norm', choices=MAP_NORMS, default='none',
            help='minmax: as PraNet (default: none)'),
        add('--surface-tolerance', type=float, default=2.0, help='pixels (default: 2)'),
        add('--size-groups', action='store_true', help='results by size of the object'),
        add('--bootstrap', type=int, default=0, metavar='N', help='resamples'),
        add('--seed', dest='bootstrap_seed', type=int, default=0, metavar='N',
            help='of the resamples (default: 0)'),
    ]  # fmt: skip


def _config_options(group: argparse._ArgumentGroup) -> list[argparse.Action]:
    add = group.add_argument
    return [
        add('--cfg-options', nargs='+', action='extend', default=[], metavar='KEY=VALUE',
            help='changes of the config'),
        add('--sheet', type=Path, help='file for a contact sheet of ten test images'),
        add('--tta', action='store_true', help='test-time augmentation'),
        add('--fuse-conv-bn', action='store_true', help='fold BatchNorm into the convolutions'),
        add('--work-dir', help="folder for mmengine's log (default: work_dirs/NAME_OF_CONFIG)"),
    ]  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Score and print."""
    is_folder = Path(args.what).is_dir()
    used, unused = (args.folder, args.config) if is_folder else (args.config, args.folder)
    kind, other = ('folder of predictions', 'config') if is_folder else ('config', 'folder')
    for action in unused:
        if getattr(args, action.dest) != action.default:
            option = action.option_strings[0]
            raise UserError(f'{option} needs a {other}, but {args.what} is a {kind}')
    options: dict[str, Any] = {action.dest: getattr(args, action.dest) for action in used}
    options |= dict(csv=args.csv, json=args.json, force=args.force)
    if is_folder:
        with contextlib.redirect_stdout(sys.stderr), progress_bar() as show:  # mmengine's log
            report = evaluate_folder(args.what, args.against, **options, progress=show)
        print(describe(report))
    else:
        try:
            find_config(args.what)
        except UserError as error:
            raise UserError(f'no such folder of predictions, and no config: {error}') from error
        options['cfg_options'] = read_options(args.cfg_options)
        report = evaluate_checkpoint(args.what, args.against, **options)
        rows = [[name, number(value)] for name, value in report['results'].items()]
        print(f'\n{report["images"]} images\n\n{table(["score", "mean"], rows)}')
    return 0


def describe(report: dict[str, Any]) -> str:
    """Write what :func:`evaluate_folder` returns as text."""
    settings = report['settings']
    lines = [
        f'{settings["predictions"]} against {settings["masks"]}: {report["images"]} images',
        f'predictions: {report["predictions"]}; foreground where p > {settings["threshold"]:g}',
        f'truth: {report["truths"]}',
        f'scored at {_scored_size(settings)}, empty masks {settings["empty_policy"]}',
    ]
    if report['resized']:
        lines.append(
            f'{count(report["resized"], "prediction")} of another size, resized bilinearly'
        )
    for key, what, lack in (('missing', 'truth', 'prediction'), ('extra', 'prediction', 'truth')):
        if names := report[key]:
            number_of = count(len(names), what)
            lines.append(f'left out: {number_of} without a {lack}: {first_ten(names)}')
    if report['groups']:
        lines.append(report['groups'])
    return '\n'.join([*lines, '', _summary(report)])


def _scored_size(settings: dict[str, Any]) -> str:
    if settings['protocol'] == 'original':
        return 'the size of the truth (protocol original)'
    if not settings['size']:
        return 'that of each prediction (protocol input_size)'
    height, width = settings['size']
    return f'{height} x {width} (height x width) (protocol input_size)'


def _summary(report: dict[str, Any]) -> str:
    """One row per score."""
    results = {key.removeprefix('image/'): value for key, value in report['results'].items()}
    ends = [end for end in ('low', 'high') if f'mDice_{end}' in results]
    groups = [group for group in SIZE_GROUPS if f'mDice_{group}' in results]
    rows = []
    for name, key in SCORE_KEYS.items():
        if key in results:
            values = [results[key], *(results[f'{key}_{part}'] for part in (*ends, *groups))]
            unit = EXTRA_SCORES[name].unit if name in EXTRA_SCORES else '%'
            images = report['images'] - report['undefined'].get(name, 0)
            rows.append([key, *map(number, values), unit, str(images)])
    header = ['score', 'mean', *(f'95 % {end}' for end in ends), *groups, 'unit', 'images']
    return table(header, rows)
