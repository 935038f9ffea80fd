"""One training in a folder of its own, continued after it was killed, and its scores.

A run trains one config, or those of stage 1 and stage 2, and scores checkpoints on the images of
``test_dataloader``. It is finished when its folder holds ``run.json``::

    FOLDER/config.py            what is trained: later edits of the original change no run
           (stage1.py, stage2.py)
           log                  what all attempts printed
           train/               working directory (of two stages: with stage1/ and stage2/)
           scores.csv           a row for every image of the test list; other files, if asked for
           test/                configs and logs of the scoring
           failed               why the last attempt failed
           run.json             scores by epoch, time, versions, machine
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from difflib import ndiff
from pathlib import Path
from typing import IO, Any, NamedTuple

from dev_common import ROOT, made_with, unaveraged
from run_report import summarize

from condseg_mmseg.configs import read_config
from condseg_mmseg.engine.atomic_checkpoint import newest_whole
from condseg_mmseg.engine.best_checkpoint import best_checkpoint
from condseg_mmseg.utils.errors import UserError
from condseg_mmseg.utils.files import write_json, write_text
from condseg_mmseg.utils.text import first_ten

METRIC = 'test_evaluator.0'  # PerImageBinaryMetric, which writes the CSV file
EXTRA = ('weighted_f', 'mae', 'object_recall', 'object_precision')  # beside Dice and IoU


class Scored(NamedTuple):
    """A file of scores."""

    csv: str = 'scores.csv'
    checkpoint: str = 'best'
    """Or ``'last'``; or ``'unaveraged'``: weights that the last one holds beside their average."""
    options: Mapping[str, Any] = {}
    """Dotted key -> value, which change the config."""


def train_command(configs: Sequence[Path], work_dir: Path) -> list[str]:
    """The command that trains one config, or both stages, or goes on with what is there.

    Stage 2 starts from the last checkpoint of stage 1.
    """
    start = [sys.executable, '-m', 'condseg_mmseg', 'train', *map(str, configs)]
    stages = ['--hand-over', 'last'] if len(configs) == 2 else []
    return [*start, '--work-dir', str(work_dir), '--resume', *stages]


class Failed(Exception):
    """A run has failed; the message says why."""


class Run:
    """One training and its scores.

    Args:
        label: Its name in tables.
        seed: Its seed.
        configs: One config, or those of stage 1 and of stage 2, by path or by name.
        folder: Where its files are, see above.
        options: Dotted key -> value, which change every config. Default None.
        scored: What to score. Default: the best checkpoint.

    Raises:
        UserError: A config cannot be read.
    """

    def __init__(
        self,
        label: str,
        seed: int,
        configs: Sequence[str],
        folder: Path,
        options: Mapping[str, Any] | None = None,
        scored: Sequence[Scored] = (Scored(),),
    ) -> None:
        self.label, self.seed, self.sources, self.folder = label, seed, list(configs), folder
        changes = {**(options or {}), 'randomness.seed': seed}
        self.configs = [read_config(source, changes) for source in configs]
        self.scored = scored
        self.work_dir, self.log = folder / 'train', folder / 'log'
        self.record, self.failed = folder / 'run.json', folder / 'failed'
        if len(self.configs) == 1:
            self.files, self.stages = [folder / 'config.py'], [self.work_dir]
        else:
            self.files = [folder / 'stage1.py', folder / 'stage2.py']
            self.stages = [self.work_dir / file.stem for file in self.files]
        self.parameters_m: float | None = None  # of the config that is scored

    def __str__(self) -> str:
        return f'{self.label}, seed {self.seed}'

    def result(self) -> dict[str, Any] | None:
        """What was recorded when it finished, or None."""
        return json.loads(self.record.read_text()) if self.record.exists() else None

    def check_earlier(self) -> None:
        """Compare with what an earlier attempt left.

        Raises:
            UserError: It was made with another config.
        """
        for file, config in zip(self.files, self.configs, strict=True):
            new = config.pretty_text.splitlines()
            old = file.read_text(encoding='utf-8').splitlines() if file.exists() else new
            if changed := [line for line in ndiff(old, new) if line[0] in '+-']:
                raise UserError(
                    f'{self}: {self.folder} holds a run of another config; give another folder or '
                    f'label, or remove that one. What changed:{first_ten(changed, lines=True)}'
                )

    def prepare(self) -> None:
        """Write the configs."""
        for file, config in zip(self.files, self.configs, strict=True):
            write_text(file, config.pretty_text)

    def test_command(self, scored: Scored) -> list[str]:
        """The command that scores a checkpoint of a training that has ended; writes its config."""
        config = copy.deepcopy(self.configs[-1])
        keys = {
            f'{METRIC}.csv_path': str((self.folder / scored.csv).absolute()),
            f'{METRIC}.extra_metrics': EXTRA,
        }
        config.merge_from_dict({**scored.options, **keys})
        folder = self.folder / 'test'
        file = folder / scored.csv.replace('.csv', '.py')
        write_text(file, config.pretty_text)
        checkpoint = str(self._checkpoint(scored.checkpoint, folder))
        script = str(ROOT / 'tools' / 'test.py')
        return [sys.executable, script, str(file), checkpoint, '--work-dir', str(folder)]

    def _checkpoint(self, which: str, folder: Path) -> Path:
        stage = self.stages[-1]
        if which == 'best':
            return best_checkpoint(stage)
        last, _ = newest_whole(stage)
        if last is None:
            raise ValueError(f'{stage}: there is no checkpoint')
        return last if which == 'last' else unaveraged(last, folder / 'unaveraged.pth')

    def summary(self) -> dict[str, Any]:
        """Scores and time of a training that has ended."""
        *first, last = (
            {'config': source, **summarize(stage)}
            for source, stage in zip(self.sources, self.stages, strict=True)
        )
        return {
            'label': self.label,
            'seed': self.seed,
            'stage1': first[0] if first else None,
            'parameters_m': self.parameters_m,
            **last,
        }


def make(run: Run, lock: IO[str]) -> str:
    """Train and score a run, or go on with it. An exception (Ctrl-C, SIGTERM) ends the training.

    Args:
        run: What to make.
        lock: Open file that the training inherits: one that outlives this process keeps the lock.

    Returns:
        Why it failed; empty where it finished.
    """
    cores = len(os.sched_getaffinity(0))
    threads = min(cores, int(os.environ.get('OMP_NUM_THREADS') or cores))
    # threads that wait by spinning slow each other down as soon as the cores are shared
    env = {'OMP_WAIT_POLICY': 'passive', **os.environ, 'OMP_NUM_THREADS': str(threads)}
    try:
        described = made_with(threads)  # the commit now, not when it ends
        run.failed.unlink(missing_ok=True)
        run.prepare()
        _call(train_command(run.files, run.work_dir), run.log, lock, env)
        for scored in run.scored:
            _call(run.test_command(scored), run.log, lock, env)
        write_json(run.record, run.summary() | {'environment': described})
    except Exception as error:  # the other runs go on
        problem = str(error) if isinstance(error, Failed) else f'{type(error).__name__}: {error}'
        write_text(run.failed, problem)
        return problem
    return ''


def _call(command: list[str], log: Path, lock: IO[str], env: Mapping[str, str]) -> None:
    with log.open('ab') as file, subprocess.Popen(
        command, env=env, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
        pass_fds=[lock.fileno()],
    ) as process:  # fmt: skip
        try:
            status = process.wait()
        except BaseException:
            process.terminate()
            raise
    if status:
        lines = log.read_text(encoding='utf-8', errors='replace').splitlines()
        last = ''.join(f'\n  {line}' for line in lines[-20:])
        raise Failed(f'ended with status {status}; the end of {log}:{last}')
