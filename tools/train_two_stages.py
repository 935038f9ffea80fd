"""Train stage 1, hand its encoder over, and train stage 2.

python tools/train_two_stages.py STAGE1_CONFIG STAGE2_CONFIG
python tools/train_two_stages.py STAGE1_CONFIG STAGE2_CONFIG --resume      (after it was stopped)
python tools/train_two_stages.py STAGE1_CONFIG STAGE2_CONFIG --gpus 4

Each stage is a run of mmseg's own script, in DIR/stage1 and DIR/stage2, and DIR/stage1.log and
DIR/stage2.log hold what they print. Stage 2 starts from the encoder of stage 1, BatchNorm
statistics included, unless its config says otherwise. That both encoders fit, and the files of the
training and validation data of both stages, are checked before anything starts. Relative paths in
the configs are relative to the current directory.

It can be stopped or killed at any moment: --resume goes on from the last checkpoint that is whole.
DIR/two_stages.json records both runs: settings, commands, times, scores, the hash of the checkpoint
that was handed over, versions and machine. With --gpus each stage goes through
tools/dist_train.sh, whose variables (PORT, NNODES, ...) it passes on.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from pathlib import Path

from _two_stages import UserError
from _two_stages.checkpoints import best_checkpoint, outcome, prepare_resume, sha256
from _two_stages.process import LOCK, locked, run_logged, tail
from _two_stages.record import Record, now, surroundings
from _two_stages.stage_config import (
    Stage,
    check_data_sets,
    check_encoders_fit,
    differences,
    hand_over_options,
)

import condseg_mmseg  # noqa: F401 - registers our types and allows the safe load of checkpoints

TOOLS = Path(__file__).resolve().parent


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for number in (1, 2):
        parser.add_argument(
            f'stage{number}_config', metavar=f'STAGE{number}_CONFIG', type=Path,
            help=f'config of stage {number}',
        )  # fmt: skip
    parser.add_argument(
        '--work-dir', metavar='DIR', type=Path,
        help='default: work_dirs/ and the name of STAGE2_CONFIG',
    )  # fmt: skip
    parser.add_argument('--resume', action='store_true', help='continue what is in DIR')
    parser.add_argument(
        '--hand-over', choices=('best', 'last'), default='best',
        help='which checkpoint of stage 1 stage 2 starts from (default: best, by the save_best of '
        'its CheckpointHook)',
    )  # fmt: skip
    for number in (1, 2):
        parser.add_argument(
            f'--stage{number}-options', metavar='KEY=VALUE', nargs='+', action='extend', default=[],
            help=f'changes of the config of stage {number}, as of --cfg-options',
        )  # fmt: skip
    parser.add_argument('--gpus', type=int, help='number of GPUs (default: one process)')
    args = parser.parse_args(argv)
    if args.gpus is not None and args.gpus < 1:
        parser.error(f'--gpus must be >= 1, got {args.gpus}')
    if args.work_dir is None:
        args.work_dir = Path('work_dirs') / args.stage2_config.stem
    args.work_dir = args.work_dir.resolve()
    return args


def say(text: str) -> None:
    """Print a line that stands out from what the trainings print."""
    print(f'== {text}', flush=True)


def command(stage: Stage, folder: Path, options: list[str], gpus: int | None) -> list[str]:
    """The command line of a stage."""
    if gpus is None:
        start = [sys.executable, str(TOOLS / 'train.py'), str(stage.config)]
    else:
        start = ['bash', str(TOOLS / 'dist_train.sh'), str(stage.config), str(gpus)]
    options = [*stage.options, *options]
    return [*start, '--work-dir', str(folder), *(['--cfg-options', *options] if options else [])]


def has_checkpoint(folder: Path) -> bool:
    """Whether a working directory of a stage holds a checkpoint, whole or truncated."""
    return any(folder.glob('*.pth*'))


def open_record(args: argparse.Namespace, stages: list[Stage]) -> tuple[Record, list[str]]:
    """Begin the record, or read the one to continue and compare it. Nothing is written.

    A run that has neither a checkpoint nor a complete stage may be started anew without --resume;
    its attempts stay in the record.

    Returns:
        The record, and what to say.

    Raises:
        UserError: There is something to continue and no --resume, or it is another run.
    """
    folder, told = args.work_dir, []
    if folder.exists() and not folder.is_dir():
        raise UserError(f'--work-dir {folder} is a file: give a directory')
    begin = dict(directory=os.getcwd(), hand_over=args.hand_over)
    record, anew = Record.read(folder), False
    if record is None:
        if folder.exists() and any(path.name != LOCK for path in folder.iterdir()):
            raise UserError(
                f'{folder} is not empty, and no run of this tool (no two_stages.json): give '
                'another --work-dir'
            )
        record = Record.new(folder, **begin)
    elif not args.resume:
        if record.any_complete() or any(has_checkpoint(folder / s.name) for s in stages):
            raise UserError(
                f'{folder} holds a run: continue it with --resume, give another --work-dir, or '
                'delete it'
            )
        anew = True
        record.update(begin)
        told.append(f'{folder} holds a run without any checkpoint: it starts anew')
    if Path(record['directory']) != Path.cwd():
        raise UserError(
            f'{folder} was started in {record["directory"]}, which relative paths in the '
            'configs depend on: continue it there'
        )
    if record['hand_over'] != args.hand_over:
        raise UserError(
            f'{folder} was started with --hand-over {record["hand_over"]}, not with '
            f'{args.hand_over}'
        )
    for stage in stages:
        entry = record['stages'].get(stage.name)
        changed = differences(entry['settings'], stage.settings) if entry and not anew else []
        if changed and (entry['complete'] or has_checkpoint(folder / stage.name)):
            raise UserError(
                f'{folder}/{stage.name} was trained with other settings than those of '
                f'{stage.config} and --{stage.name}-options now:\n  '
                + '\n  '.join(changed[:10])
                + '\nput them back, or give another --work-dir'
            )
        if changed:
            told.append(
                f'{stage.name} has changed and no checkpoint yet, it starts anew: {changed[0]}'
            )
        if entry is None or changed or anew:
            attempts = entry['attempts'] if entry else []
            record['stages'][stage.name] = dict(
                config=str(stage.config), options=stage.options, settings=stage.settings,
                log=f'{stage.name}.log', complete=False, attempts=attempts,
            )  # fmt: skip
    return record, told


def choose_hand_over(record: Record, folder: Path) -> Path:
    """The checkpoint of stage 1 that stage 2 starts from; the record keeps it.

    Raises:
        UserError: The one that was handed over before is gone or another one, or there is none.
    """
    entry = record['stages']['stage2']
    earlier = entry.get('handed_over')
    if earlier:
        path = folder / earlier['file']
        if not path.is_file() or sha256(path) != earlier['sha256']:
            raise UserError(
                f'{path}, which stage 2 started from, is gone or has changed since (SHA-256 was '
                f'{earlier["sha256"]})'
            )
        return path
    chosen, which = None, record['hand_over']
    if which == 'best':
        try:
            chosen = best_checkpoint(folder / 'stage1')
        except ValueError as error:
            say(f'stage 1: {error}. Its last checkpoint is handed over')
            which = 'last'
    if chosen is None:
        last = record['stages']['stage1']['last_file']
        if last is None:
            raise UserError(
                f'{folder}/stage1: the training has ended and left no checkpoint: its config needs '
                'a CheckpointHook'
            )
        chosen = folder / 'stage1' / last
    entry['handed_over'] = dict(
        file=str(chosen.relative_to(folder)), which=which, sha256=sha256(chosen)
    )
    record.save()
    return chosen


def train(stage: Stage, record: Record, args: argparse.Namespace, lock) -> int:
    """Train a stage to its end.

    Returns:
        The exit status for this tool: 0, or what the training or a signal ended it with.
    """
    entry, folder = record['stages'][stage.name], args.work_dir / stage.name
    log = args.work_dir / entry['log']
    options = []
    if stage.number == 2:
        checkpoint = choose_hand_over(record, args.work_dir)
        options += hand_over_options(stage, checkpoint, Path.cwd())
        say(f'stage 2 starts from the encoder of {checkpoint}')
    resumed, told = prepare_resume(folder)
    for text in told:
        say(text)
    if resumed and stage.cfg.get('load_from'):
        options.append('load_from=None')  # mmengine would resume from that instead
    line = [
        *command(stage, folder, options, args.gpus), *(['--resume'] if resumed else [])
    ]  # fmt: skip
    attempt = dict(
        command=line, start=now(), end=None, status=None,
        resumed_from=resumed.name if resumed else None, **surroundings(TOOLS.parent),
    )  # fmt: skip
    entry['attempts'].append(attempt)
    record.save()
    say(f'stage {stage.number}: {"from " + resumed.name if resumed else stage.config} ({log})')
    env = dict(os.environ, PYTHONUNBUFFERED='1', PYTHON=sys.executable)
    status, stopped = run_logged(line, log, lock, env)
    attempt.update(end=now(), status=status)
    if status == 0:
        hook = stage.cfg.get('default_hooks', {}).get('checkpoint') or {}
        entry.update(complete=True, best_metric=hook.get('save_best'), **outcome(folder))
        record.save()
        return 0
    record.save()
    advice = how_to_go_on(stage, folder)
    if stopped:
        say(f'stage {stage.number} stopped by signal {stopped}; {advice}')
        return 128 + stopped
    print(
        f'error: stage {stage.number} ended with status {status}:\n{shlex.join(line)}\n'
        f'the end of {log}:\n{tail(log)}{advice}',
        file=sys.stderr,
    )
    return status if status > 0 else 128 - status


def how_to_go_on(stage: Stage, folder: Path) -> str:
    """Advice after a stage that did not end well.

    Args:
        stage: The stage.
        folder: Its working directory.
    """
    if has_checkpoint(folder):
        return '--resume continues from the last checkpoint'
    if stage.number == 2:
        return '--resume keeps stage 1 and starts stage 2 anew: it has no checkpoint yet'
    return 'it has no checkpoint yet: the same command starts it anew'


def summary(record: Record) -> str:
    """A line for each stage."""
    lines = []
    for name, entry in record['stages'].items():
        best = ''
        if entry['best_score'] is not None:
            best = f', best {entry["best_metric"]} {entry["best_score"]:.4g}'
        lines.append(f'{name}: {entry["epochs"]} epochs{best}, in {record.path.parent / name}')
    return '\n== '.join([*lines, f'record: {record.path}'])


def run(args: argparse.Namespace) -> int:
    """Check everything, then train what is not trained yet."""
    stages = [
        Stage(1, args.stage1_config, args.stage1_options),
        Stage(2, args.stage2_config, args.stage2_options),
    ]
    for stage in stages:
        stage.check()
    try:
        hand_over_options(stages[1], args.work_dir / 'stage1' / 'x.pth', Path.cwd())
    except ValueError as error:
        raise UserError(f'--work-dir: {error}') from error
    record, _ = open_record(args, stages)
    check_encoders_fit(*stages)
    nodes = int(os.environ.get('NNODES', '1').partition(':')[0]) if args.gpus else 1
    for stage in stages:
        if not record['stages'][stage.name]['complete']:
            check_data_sets(stage, nodes * (args.gpus or 1))
    try:
        args.work_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f'--work-dir {args.work_dir} cannot be made: {error}') from error
    with locked(args.work_dir) as lock:
        record, told = open_record(args, stages)  # another run may have ended there meanwhile
        for text in told:
            say(text)
        record.save()
        for stage in stages:
            if record['stages'][stage.name]['complete']:
                say(f'stage {stage.number} is complete')
            elif status := train(stage, record, args, lock):
                return status
    say(summary(record))
    return 0


def main(argv: list[str] | None = None) -> int:
    """Command line."""
    args = parse_args(argv)
    try:
        return run(args)
    except UserError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2


if __name__ == '__main__':
    sys.exit(main())
