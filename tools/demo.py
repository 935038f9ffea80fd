"""Generate data, train both stages of a small ConDSeg, score it on two splits, draw predictions.

``make demo`` runs it. The data go to ``data/demo``, everything else to ``work_dirs/demo``, both of
the checkout; where this script is installed with the package, of the current directory. It ends
with a status other than 0 if a step fails or the score stays below ``--min-dice``.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from condseg_mmseg.utils.cfg_options import path_option

ROOT = Path(__file__).resolve().parents[1]
STAGE1 = 'configs/condseg/condseg-stage1_r18_1xb8-3e_demo-96x96.py'
STAGE2 = 'configs/condseg/condseg_r18_1xb8-4e_demo-96x96.py'
SPLITS = dict(val='as in training', test='co-occurrence broken')
PROGRESS = re.compile(r'Epoch\((train|val)\)')
MESSAGE = '== '  # how tools/train_two_stages.py begins its own lines
QUICK_SET = ['--num-train', '12', '--num-val', '4', '--num-test', '4', '--size', '64']


class StepError(RuntimeError):
    """A step of the demo failed."""


def output_root() -> Path:
    """The folder of data/ and work_dirs/: the checkout, not the .mim folder of an installation."""
    return Path.cwd() if ROOT.name == '.mim' else ROOT


def from_root(path: Path) -> Path:
    """Shorten an absolute path below ROOT, the directory of the steps, to the relative one."""
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


def option(key: str, path: Path) -> str:
    """Make a ``KEY=PATH`` for ``--cfg-options``, with the path from ROOT where it lies below it."""
    return path_option(key, path, ROOT)


def environment() -> dict[str, str]:
    """The environment of the steps."""
    env = dict(os.environ)
    # Threads that wait by spinning slow each other down by tens as soon as the cores are shared.
    env.setdefault('OMP_WAIT_POLICY', 'passive')
    return env


def shorten(line: str) -> str:
    """The part of a line of mmengine's log that shows progress."""
    text = line[line.index('Epoch(') :]
    keep = re.findall(r'\beta: \S+|\bloss: \S+|decode\.dice: \S+|image/mDice: \S+', text)
    return '  '.join([re.match(r'Epoch\(\w+\)\s*\[.*?\]\[.*?\]', text)[0], *keep])


def run(title: str, log: Path, script: str, *args: object) -> None:
    """Run a script of the repository from its root; its output goes to a log file.

    Args:
        title: What to print.
        log: File for everything that the script prints.
        script: Path of the script from the root.
        *args: Its arguments.

    Raises:
        StepError: If it ends with a status other than 0; tells the end of its output.
    """
    args = [from_root(arg) if isinstance(arg, Path) else arg for arg in args]
    command = [sys.executable, str(ROOT / script), *map(str, args)]
    print(f'-- {title}', flush=True)
    start = time.monotonic()
    lines: list[str] = []
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment(), text=True, errors='replace',
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    with log.open('w', encoding='utf-8') as file:
        for line in process.stdout:
            file.write(line)
            lines = [*lines[-29:], line]
            if PROGRESS.search(line):
                print(f'   {shorten(line)}', flush=True)
            elif line.startswith(MESSAGE):
                print(f'   {line.removeprefix(MESSAGE)}', end='', flush=True)
    if process.wait():
        raise StepError(
            f'{" ".join(command)}\nended with status {process.returncode}; the end of {log}:\n'
            + ''.join(lines)
        )
    print(f'   {time.monotonic() - start:.0f} s', flush=True)


def newest_scores(folder: Path) -> dict[str, float]:
    """The scores that tools/test.py wrote last into its work directory."""
    found = sorted(folder.glob('*/*.json'))
    if not found:
        raise StepError(f'tools/test.py left no scores in {folder}')
    return json.loads(found[-1].read_text())


def trained_checkpoint(folder: Path) -> Path:
    """The last checkpoint of stage 2, from the record of tools/train_two_stages.py."""
    record = json.loads((folder / 'two_stages.json').read_text())
    return folder / 'stage2' / record['stages']['stage2']['last_file']


def summary(scores: dict[str, dict], baseline: dict[str, float]) -> str:
    """The table of the scores, in percent.

    Args:
        scores: What tools/test.py wrote, by split.
        baseline: Mean Dice of the best threshold on brightness in 0..1, by split.
    """
    head = ''.join(f'{f"{split} ({what})":>28}' for split, what in SPLITS.items())
    lines = [f'{"per image, percent":<34}{head}']
    for name in ('mDice', 'mIoU', 'mRecall', 'mPrecision'):
        cells = ''.join(f'{scores[split][f"image/{name}"]:>28.1f}' for split in SPLITS)
        lines.append(f'{f"ConDSeg {name}":<34}{cells}')
    cells = ''.join(f'{100 * baseline[split]:>28.1f}' for split in SPLITS)
    lines.append(f'{"best brightness threshold, mDice":<34}{cells}')
    return '\n'.join(lines)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument(
        '--quick', action='store_true',
        help='a few images and one step a stage, without --min-dice: shows that everything runs',
    )  # fmt: skip
    parser.add_argument(
        '--work-dir', type=Path, default=output_root() / 'work_dirs' / 'demo',
        help='default: work_dirs/demo',
    )  # fmt: skip
    parser.add_argument(
        '--data', type=Path, help='default: data/demo, with --quick the folder data in --work-dir'
    )
    parser.add_argument(
        '--min-dice', type=float, default=80.0,
        help='least mean Dice on val in percent for success (default: 80)',
    )  # fmt: skip
    args = parser.parse_args(argv)
    args.work_dir = args.work_dir.resolve()
    if args.data is None:
        args.data = args.work_dir / 'data' if args.quick else output_root() / 'data' / 'demo'
    args.data = args.data.resolve()
    for path in (args.data, args.work_dir):
        try:
            option('path', path)
        except ValueError as error:
            parser.error(str(error))
    return args


def demo(args: argparse.Namespace) -> bool:
    """Run all steps; returns whether the score is high enough."""
    work, data = args.work_dir, args.data
    work.mkdir(parents=True, exist_ok=True)
    options = [option(f'{name}_dataloader.dataset.data_root', data) for name in ('train', *SPLITS)]
    shorter = ['train_cfg.max_epochs=1', 'train_cfg.val_interval=1'] if args.quick else []

    # The recipe is in dataset.json, so a set made with other parameters can be made again.
    run(
        f'data: {data}', work / 'data.log', 'tools/dataset_converters/prepare.py', 'demo',
        data, '--reuse', '--force', *(QUICK_SET if args.quick else ()),
    )  # fmt: skip
    baseline = json.loads((data / 'dataset.json').read_text())['brightness_baseline']['mDice']

    training = work / 'train'
    if (training / 'two_stages.json').is_file():  # of an earlier demo: this one trains anew
        shutil.rmtree(training)
    run(
        'train: tools/train_two_stages.py', work / 'train.log', 'tools/train_two_stages.py',
        STAGE1, STAGE2, '--work-dir', training,
        '--stage1-options', *options, *shorter, '--stage2-options', *options, *shorter,
    )  # fmt: skip
    checkpoint = trained_checkpoint(training)

    scores, sheets = {}, []
    for split in SPLITS:
        folder = work / f'test_{split}'
        run(
            f'score {split}: tools/test.py', work / f'test_{split}.log', 'tools/test.py',
            STAGE2, checkpoint, '--work-dir', folder, '--cfg-options', *options,
            f'test_dataloader.dataset.ann_file={split}.txt',
            option('test_evaluator.0.csv_path', folder / 'images.csv'),
        )  # fmt: skip
        scores[split] = newest_scores(folder)
        sheets.append(work / f'contact_sheet_{split}.png')
        run(
            f'draw {split}', work / f'draw_{split}.log', 'tools/analysis_tools/contact_sheet.py',
            STAGE2, checkpoint, '--split', split, '--data-root', data, '--out', sheets[-1],
        )  # fmt: skip

    record = dict(
        configs=[STAGE1, STAGE2], quick=args.quick, scores=scores,
        brightness_threshold_mDice=baseline,
    )  # fmt: skip
    (work / 'scores.json').write_text(json.dumps(record, indent=1) + '\n')
    print(f'\n{summary(scores, baseline)}\n')
    print('contact sheets: ' + '\n                '.join(map(str, sheets)))
    print(f'scores:         {work / "scores.json"}')
    print(f'training:       {training / "two_stages.json"}')
    reached = scores['val']['image/mDice']
    if args.quick or reached >= args.min_dice:
        return True
    print(
        f'error: mean Dice on val is {reached:.1f}, below {args.min_dice:.1f}: this checkout does '
        f'not train as it should (see {work / "train.log"})',
        file=sys.stderr,
    )
    return False


def main(argv: list[str] | None = None) -> int:
    """Command line."""
    args = parse_args(argv)
    start = time.monotonic()
    try:
        good = demo(args)
    except StepError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    print(f'{time.monotonic() - start:.0f} s in all')
    return 0 if good else 1


if __name__ == '__main__':
    sys.exit(main())
