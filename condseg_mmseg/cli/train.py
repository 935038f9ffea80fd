"""``condseg train``: mmseg's training of one config, or both stages of ConDSeg."""

from __future__ import annotations

import argparse
import sys
from functools import partial

from condseg_mmseg.utils.errors import UserError
from condseg_mmseg.utils.process import ProcessError

DESCRIPTION = """\
One config: mmseg's own training.
Two configs: train stage 1, hand its encoder over, and train stage 2.

  condseg train CONFIG [--work-dir DIR] [--resume] [--cfg-options KEY=VALUE ...]
  condseg train STAGE1_CONFIG STAGE2_CONFIG
  condseg train STAGE1_CONFIG STAGE2_CONFIG --resume      (after it was stopped)

A config is a file or the name of a shipped config, see `condseg configs`. Relative paths in the
configs are relative to the current directory.

Both stages are processes of their own, in DIR/stage1 and DIR/stage2. DIR/stage1.log and
DIR/stage2.log hold what they print, and DIR/two_stages.json records settings, commands, times,
scores, the hash of the checkpoint that was handed over, versions and machine. They can be stopped
or killed at any moment: --resume continues from the last whole checkpoint.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = commands.add_parser(
        'train', help='train one config, or both stages', description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument('configs', metavar='CONFIG', nargs='+', help='one config, or two')
    parser.add_argument(
        '--work-dir', metavar='DIR', help='default: work_dirs/ and the name of the last config'
    )
    parser.add_argument('--resume', action='store_true', help='continue what is in DIR')
    options = partial(
        parser.add_argument, metavar='KEY=VALUE', nargs='+', action='extend', default=[]
    )
    options('--cfg-options', help='changes of the config, or of both')
    parser.add_argument(
        '--gpus', type=int, metavar='N',
        help='start N processes, one for each GPU; the variables NNODES, NODE_RANK, MASTER_ADDR '
        'and PORT are those of tools/dist_train.sh (default: one process)',
    )  # fmt: skip
    one = parser.add_argument_group('one config')
    one.add_argument('--amp', action='store_true', help='mixed precision, on an accelerator')
    one.add_argument('--launcher', choices=('none', 'pytorch', 'slurm', 'mpi'), default='none')
    two = parser.add_argument_group('two configs')
    two.add_argument(
        '--hand-over', choices=('best', 'last'),
        help='which checkpoint of stage 1 stage 2 starts from (default: best, by the save_best of '
        'its CheckpointHook)',
    )  # fmt: skip
    for number in (1, 2):
        options(f'--stage{number}-options', help=f'changes of the config of stage {number}')
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train."""
    common = dict(
        work_dir=args.work_dir, resume=args.resume, gpus=args.gpus, show=partial(print, flush=True)
    )
    single = ['--amp'] * args.amp + ['--launcher'] * (args.launcher != 'none')
    double = ['--hand-over'] if args.hand_over else []
    double += [f'--stage{i}-options' for i in (1, 2) if getattr(args, f'stage{i}_options')]
    if len(args.configs) > 2:
        raise UserError(f'train takes one config or two, got {len(args.configs)}')
    if wrong := double if len(args.configs) == 1 else single:
        which = 'two configs' if wrong is double else 'one config'
        raise UserError(f'{", ".join(wrong)}: only with {which}')
    try:
        if len(args.configs) == 1:
            from condseg_mmseg.apis.train import train

            train(
                args.configs[0], amp=args.amp, launcher=args.launcher,
                cfg_options=args.cfg_options, **common,
            )  # fmt: skip
        else:
            from condseg_mmseg.apis.train_two_stages import train_two_stages

            train_two_stages(
                *args.configs, hand_over=args.hand_over or 'best',
                stage1_options=args.cfg_options + args.stage1_options,
                stage2_options=args.cfg_options + args.stage2_options, **common,
            )  # fmt: skip
    except ProcessError as error:
        print(f'error: {error}', file=sys.stderr)
        return error.status
    except BrokenPipeError:
        return 141  # that of a shell for a closed output, which ended the training
    return 0
