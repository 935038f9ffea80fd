"""A queue of trainings: one folder for each, several at a time, continued after it was killed.

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
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from difflib import ndiff
from pathlib import Path
from typing import IO, Any, NamedTuple

from dev_common import ROOT, made_with, unaveraged
from mmengine.config import Config
from run_report import summarize

from condseg_mmseg.configs import read_config
from condseg_mmseg.engine.atomic_checkpoint import newest_whole
from condseg_mmseg.engine.best_checkpoint import best_checkpoint
from condseg_mmseg.utils.errors import UserError
from condseg_mmseg.utils.files import write_json, write_text
from condseg_mmseg.utils.text import first_ten

METRIC = 'PerImageBinaryMetric'  # writes the CSV file


class Scored(NamedTuple):
    """A file of scores."""

    csv: str = 'scores.csv'
    checkpoint: str = 'best'
    """Or ``'last'``; or ``'unaveraged'``: weights that the last one holds beside their average."""
    options: Mapping[str, Any] = {}
    """Dotted key -> value, which change the config."""
    extra_metrics: Sequence[str] = ()
    """Of ``PerImageBinaryMetric``."""


def train_command(configs: Sequence[Path], work_dir: Path, hand_over: str = 'best') -> list[str]:
    """The command that trains one config, or both stages, or goes on with what is there."""
    start = [sys.executable, '-m', 'condseg_mmseg', 'train', *map(str, configs)]
    stages = ['--hand-over', hand_over] if len(configs) == 2 else []
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
        hand_over: The checkpoint of stage 1 that stage 2 starts from, ``'best'`` (default) or
            ``'last'``.
        scored: What to score. Default: the best checkpoint.

    Raises:
        UserError: A config cannot be read or cannot be scored.
    """

    def __init__(
        self,
        label: str,
        seed: int,
        configs: Sequence[str],
        folder: Path,
        options: Mapping[str, Any] | None = None,
        hand_over: str = 'best',
        scored: Sequence[Scored] = (Scored(),),
    ) -> None:
        self.label, self.seed, self.sources, self.folder = label, seed, list(configs), folder
        changes = {**(options or {}), 'randomness.seed': seed}
        self.configs = [read_config(source, changes) for source in configs]
        self.hand_over, self.scored = hand_over, scored
        self.work_dir, self.log = folder / 'train', folder / 'log'
        self.record, self.failed = folder / 'run.json', folder / 'failed'
        if len(self.configs) == 1:
            self.files, self.stages = [folder / 'config.py'], [self.work_dir]
        else:
            self.files = [folder / 'stage1.py', folder / 'stage2.py']
            self.stages = [self.work_dir / file.stem for file in self.files]
        self.metric_key = metric_key(self.configs[-1], self.sources[-1])
        self.parameters_m: float | None = None  # of the config that is scored

    def __str__(self) -> str:
        return f'{self.label}, seed {self.seed}'

    def result(self) -> dict[str, Any] | None:
        """What was recorded when it finished, or None."""
        return json.loads(self.record.read_text()) if self.record.exists() else None

    def check_earlier(self, resume: bool) -> None:
        """Compare with what an earlier attempt left.

        Raises:
            UserError: It was made with another config, or was interrupted and is not to be resumed.
        """
        for file, config in zip(self.files, self.configs, strict=True):
            new = config.pretty_text.splitlines()
            old = file.read_text(encoding='utf-8').splitlines() if file.exists() else new
            if changed := [line for line in ndiff(old, new) if line[0] in '+-']:
                raise UserError(
                    f'{self}: {self.folder} holds a run of another config; give another folder or '
                    f'label, or remove that one. What changed:{first_ten(changed, lines=True)}'
                )
        if self.work_dir.exists() and not self.record.exists() and not resume:
            raise UserError(
                f'{self}: {self.folder} holds a run that was not finished; add --resume to go on '
                'with it, or remove that folder'
            )

    def prepare(self) -> None:
        """Write the configs."""
        for file, config in zip(self.files, self.configs, strict=True):
            write_text(file, config.pretty_text)

    def test_command(self, scored: Scored) -> list[str]:
        """The command that scores a checkpoint of a training that has ended; writes its config."""
        config = copy.deepcopy(self.configs[-1])
        metric = {
            'csv_path': str((self.folder / scored.csv).absolute()),
            'extra_metrics': scored.extra_metrics,
        }
        keys = {f'{self.metric_key}.{key}': value for key, value in metric.items() if value}
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
            'csv': self.scored[0].csv,
        }


def metric_key(config: Config, source: str) -> str:
    """Dotted key of the metric that writes the CSV file."""
    evaluators = config.get('test_evaluator')
    if isinstance(evaluators, dict) and evaluators.get('type') == METRIC:
        return 'test_evaluator'
    for index, item in enumerate(evaluators if isinstance(evaluators, (list, tuple)) else []):
        if item.get('type') == METRIC:
            return f'test_evaluator.{index}'
    raise UserError(f'{source}: test_evaluator has no {METRIC}, which scores every image')


def shares(jobs: int) -> list[list[int]]:
    """Split the cores of this process into equal shares, neighbours together.

    Raises:
        UserError: There are fewer cores than shares.
    """
    cores = sorted(os.sched_getaffinity(0))
    if not 1 <= jobs <= len(cores):
        raise UserError(f'--jobs {jobs}: choose 1 to {len(cores)}, the cores at hand')
    size = len(cores) // jobs
    return [cores[i * size : (i + 1) * size] for i in range(jobs)]


class RunQueue:
    """Makes runs, several at a time, each on cores of its own.

    Args:
        runs: Runs in the order in which to start them; finished ones are not repeated.
        lock: Open file that the trainings inherit: one that outlives a killed queue keeps the lock.
        jobs: Runs at a time. Default 1.
        machine: What to call the processor. Default None: by its name.
    """

    def __init__(
        self, runs: Sequence[Run], lock: IO[str], jobs: int = 1, machine: str | None = None
    ) -> None:
        self.waiting = [run for run in runs if run.result() is None]
        self.lock, self.jobs, self.machine = lock, jobs, machine
        self._cores: queue.SimpleQueue[list[int]] = queue.SimpleQueue()
        for share in shares(jobs):
            self._cores.put(share)
        self._guard, self._stopped = threading.Lock(), False
        self._processes: set[subprocess.Popen[bytes]] = set()

    def work(self) -> Iterator[tuple[Run, str]]:
        """Make all runs. An exception (Ctrl-C, SIGTERM) ends the trainings.

        Yields:
            Each run that ended, and why it failed; empty where it finished.
        """
        with ThreadPoolExecutor(self.jobs, initializer=self._take_cores) as pool:
            futures = {pool.submit(self._make, run): run for run in self.waiting}
            try:
                for future in as_completed(futures):
                    yield futures[future], future.result()
            finally:
                with self._guard:
                    self._stopped = True
                    for process in self._processes:
                        process.terminate()
                pool.shutdown(wait=False, cancel_futures=True)

    def _take_cores(self) -> None:
        os.sched_setaffinity(0, self._cores.get())  # of this thread, and of what it starts

    def _make(self, run: Run) -> str:
        cores = len(os.sched_getaffinity(0))
        threads = min(cores, int(os.environ.get('OMP_NUM_THREADS') or cores))
        try:
            described = made_with(threads, self.machine)  # the commit now, not when it ends
            run.failed.unlink(missing_ok=True)
            run.prepare()
            self._call(train_command(run.files, run.work_dir, run.hand_over), run, threads)
            for scored in run.scored:
                self._call(run.test_command(scored), run, threads)
            write_json(run.record, run.summary() | {'environment': described})
        except Exception as error:  # the other runs go on
            known = isinstance(error, Failed)
            problem = str(error) if known else f'{type(error).__name__}: {error}'
            if not self._stopped:
                write_text(run.failed, problem)
            return problem
        return ''

    def _call(self, command: list[str], run: Run, threads: int) -> None:
        # threads that wait by spinning slow each other down as soon as the cores are shared
        env = {'OMP_WAIT_POLICY': 'passive', **os.environ, 'OMP_NUM_THREADS': str(threads)}
        with run.log.open('ab') as log:
            with self._guard:
                if self._stopped:
                    raise Failed('stopped')
                process = subprocess.Popen(
                    command, env=env, stdin=subprocess.DEVNULL, stdout=log,
                    stderr=subprocess.STDOUT, pass_fds=[self.lock.fileno()],
                )  # fmt: skip
                self._processes.add(process)
            status = process.wait()
            with self._guard:
                self._processes.discard(process)
        if status:
            lines = run.log.read_text(encoding='utf-8', errors='replace').splitlines()
            last = ''.join(f'\n  {line}' for line in lines[-20:])
            raise Failed(f'ended with status {status}; the end of {run.log}:{last}')
