"""Generates data, trains both stages of a small ConDSeg, scores it on two splits, draws it."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..utils.arguments import check_folder
from ..utils.cfg_options import path_option
from ..utils.errors import UserError
from ..utils.files import write_json
from ..utils.process import ProcessError, run_logged, silent, tail
from ._two_stages_record import Record
from .train_two_stages import MESSAGE, train_two_stages

STAGE1 = 'condseg-stage1_r18_1xb8-3e_demo-96x96'
STAGE2 = 'condseg_r18_1xb8-4e_demo-96x96'
SPLITS = ('val', 'test')
_CONDSEG = (sys.executable, '-m', 'condseg_mmseg')
_PROGRESS = re.compile(r'Epoch\((train|val)\)')
_QUICK_SET = ('--num-train', '12', '--num-val', '4', '--num-test', '4', '--size', '64')


def demo(
    work_dir: str | Path = 'work_dirs/demo',
    data: str | Path | None = None,
    quick: bool = False,
    show: Callable[[str], None] = silent,
) -> dict[str, Any]:
    """Run the demo.

    Args:
        work_dir: Folder for all but the data. A training of an earlier demo there is replaced.
        data: Folder of the data; made with the same parameters, they are used again. Default None:
            ``data/demo``, with ``quick`` the folder ``data`` in ``work_dir``.
        quick: A few images and one step a stage, which shows that everything runs. Default False.
        show: Is called with each line of progress. Default: nothing.

    Returns:
        ``scores`` by split, in percent, ``brightness_threshold_mDice`` by split, in 0..1, and the
        files ``sheets`` (one for each split), ``record`` and ``training``.

    Raises:
        UserError: mmengine cannot be given one of the paths, or ``work_dir`` holds a training that
            is none of the demo.
        ProcessError: A step failed.
    """
    work = Path(work_dir).resolve()
    data = Path(data or (work / 'data' if quick else 'data/demo')).resolve()
    root = Path.cwd()
    options = [
        path_option(f'{name}_dataloader.dataset.data_root', data, root)
        for name in ('train', *SPLITS)
    ]
    path_option('work_dir', work, root)
    shorter = ['train_cfg.max_epochs=1', 'train_cfg.val_interval=1'] if quick else []
    check_folder('--work-dir', work)
    folder = work / 'train'
    earlier = _is_earlier_demo(folder)
    work.mkdir(parents=True, exist_ok=True)
    steps = _Steps(work, show)

    steps.run(f'data: {data}', 'data', _data_command(data, quick))
    baseline = json.loads((data / 'dataset.json').read_text())['brightness_baseline']['mDice']
    if earlier:
        shutil.rmtree(folder)
    show(f'-- train: condseg train {STAGE1} {STAGE2}')
    record = train_two_stages(
        STAGE1, STAGE2, work_dir=folder, show=steps.show_progress,
        stage1_options=[*options, *shorter], stage2_options=[*options, *shorter],
    )  # fmt: skip
    checkpoint = folder / 'stage2' / record['stages']['stage2']['last_file']

    scores, sheets = {}, []
    for split in SPLITS:
        tested, sheet = work / f'test_{split}', work / f'contact_sheet_{split}.png'
        command = _evaluate_command(
            checkpoint, tested, sheet, [*options, f'test_dataloader.dataset.ann_file={split}.txt']
        )
        steps.run(f'score and draw {split}', f'test_{split}', command)
        scores[split] = json.loads((tested / 'scores.json').read_text())['results']
        sheets.append(sheet)
    result = dict(
        configs=[STAGE1, STAGE2], quick=quick, scores=scores, brightness_threshold_mDice=baseline
    )
    write_json(work / 'scores.json', result)
    files = dict(sheets=sheets, record=work / 'scores.json', training=folder / 'two_stages.json')
    return result | files


def _is_earlier_demo(folder: Path) -> bool:
    """Whether a training of an earlier demo is there, which may be replaced; no other may."""
    record = Record.read(folder)
    if record is None:
        return False
    if {Path(stage['config']).stem for stage in record['stages'].values()} - {STAGE1, STAGE2}:
        raise UserError(f'{folder} holds another training than the demo: give another --work-dir')
    return True


@dataclass
class _Steps:
    """Runs commands, logs what they print to files in ``work``, and shows their progress."""

    work: Path
    show: Callable[[str], None]

    def run(self, title: str, name: str, command: list[str]) -> None:
        """Run a command.

        Raises:
            ProcessError: If it fails; with the end of its output.
        """
        log = self.work / f'{name}.log'
        log.unlink(missing_ok=True)
        self.show(f'-- {title}')
        start = time.monotonic()
        status, stopped = run_logged(command, log, self.show_progress)
        if status:
            message = f'{shlex.join(command)}\nended with status {status}; the end of {log}:\n'
            raise ProcessError(message + tail(log, 30), status, stopped)
        self.show(f'   {time.monotonic() - start:.0f} s')

    def show_progress(self, line: str) -> None:
        """Show a line of the log of mmengine shortly, and a message of the training."""
        if _PROGRESS.search(line):
            self.show(f'   {shorten(line)}')
        elif line.startswith(MESSAGE):
            self.show(f'   {line.removeprefix(MESSAGE)}')


def shorten(line: str) -> str:
    """The part of a line of mmengine's log that shows progress."""
    text = line[line.index('Epoch(') :]
    keep = re.findall(r'\beta: \S+|\bloss: \S+|decode\.dice: \S+|image/mDice: \S+', text)
    steps = re.match(r'Epoch\(\w+\)\s*\[.*?\]\[.*?\]', text)
    return '  '.join([steps[0] if steps else 'Epoch', *keep])


def _data_command(data: Path, quick: bool) -> list[str]:
    """Generates the data. The recipe is in dataset.json, so other data are made again."""
    command = [*_CONDSEG, 'prepare', 'demo', str(data), '--reuse', '--force']
    return [*command, *(_QUICK_SET if quick else ())]


def _evaluate_command(checkpoint: Path, folder: Path, sheet: Path, options: list[str]) -> list[str]:
    """Scores a checkpoint of stage 2, and draws its predictions."""
    files = {
        '--work-dir': folder,
        '--csv': folder / 'images.csv',
        '--json': folder / 'scores.json',
        '--sheet': sheet,
    }
    outputs = [text for option, path in files.items() for text in (option, str(path))]
    command = [*_CONDSEG, 'evaluate', STAGE2, str(checkpoint), *outputs, '--force']
    return [*command, '--cfg-options', *options]
