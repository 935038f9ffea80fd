"""``condseg demo``: from generated data to scores and pictures."""

from __future__ import annotations

import argparse
import os
import sys
import time
from functools import partial
from typing import Any

from condseg_mmseg.utils.process import ProcessError

SPLITS = dict(val='as in training', test='co-occurrence broken')


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = commands.add_parser(
        'demo', help='generate data, train a small ConDSeg, score it, draw its predictions',
        description='Generate data, train both stages of a small ConDSeg, score it on two splits, '
        'draw predictions. It fails if a step does, or if the score is too low.',
    )  # fmt: skip
    parser.add_argument(
        '--quick', action='store_true',
        help='a few images and one step a stage, without --min-dice: shows that everything runs',
    )  # fmt: skip
    parser.add_argument('--work-dir', default='work_dirs/demo', help='default: work_dirs/demo')
    parser.add_argument(
        '--data', help='default: data/demo, with --quick the folder data in --work-dir'
    )
    parser.add_argument(
        '--min-dice', type=float, default=80.0,
        help='least mean Dice on val in percent for success (default: 80)',
    )  # fmt: skip
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the demo, and print its scores."""
    from condseg_mmseg.apis.demo import demo

    # Threads that wait by spinning slow each other down by tens as soon as the cores are shared.
    os.environ.setdefault('OMP_WAIT_POLICY', 'passive')
    start = time.monotonic()
    try:
        result = demo(args.work_dir, args.data, args.quick, show=partial(print, flush=True))
    except ProcessError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 141  # that of a shell for a closed output, which ended the demo
    print(f'\n{summary(result)}\n\n{time.monotonic() - start:.0f} s in all')
    reached = result['scores']['val']['image/mDice']
    if args.quick or reached >= args.min_dice:
        return 0
    print(
        f'error: mean Dice on val is {reached:.1f}, below {args.min_dice:.1f}: this installation '
        f'does not train as it should (see stage1.log and stage2.log beside {result["training"]})',
        file=sys.stderr,
    )
    return 1


def summary(result: dict[str, Any]) -> str:
    """The table of the scores, in percent, and the files.

    Args:
        result: What :func:`condseg_mmseg.apis.demo.demo` returned.
    """
    scores, baseline = result['scores'], result['brightness_threshold_mDice']
    rows = {'per image, percent': [f'{split} ({what})' for split, what in SPLITS.items()]}
    for name in ('mDice', 'mIoU', 'mRecall', 'mPrecision'):
        rows[f'ConDSeg {name}'] = [f'{scores[split][f"image/{name}"]:.1f}' for split in SPLITS]
    rows['best brightness threshold, mDice'] = [f'{100 * baseline[split]:.1f}' for split in SPLITS]
    lines = [f'{name:<34}' + ''.join(f'{cell:>28}' for cell in row) for name, row in rows.items()]
    files = dict(zip(('contact sheets:', ''), result['sheets'], strict=True))
    files |= {'scores:': result['record'], 'training:': result['training']}
    return '\n'.join([*lines, '', *(f'{name:<15} {path}' for name, path in files.items())])
