"""The runs of an ablation: their files, what is left of an earlier attempt, and the workers."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from _ablation_report import ROOT, write
from mmengine.config import Config
from summarize_runs import read_rows, summarize

from condseg_mmseg.utils.text import first_ten

TRAIN = (sys.executable, str(ROOT / 'tools' / 'train.py'))
CHOOSES = 'image/mIoU'  # picks the best epoch, as save_best does
_TAIL = 20  # lines of a failed run's log that are shown


@dataclass(eq=False)
class Run:
    """One training.

    Args:
        label: What it is called in the table; of stage 1 the name of its config.
        seed: Its seed.
        config: The config with all options applied; ``text`` is its dump.
        source: Path of the config as it was given.
        folder: Where its files lie: ``seed0.py`` (the dumped config), ``seed0.log`` and the
            working directory ``seed0``.
        stage1: The run whose encoder it starts from. Default None.
        parameters_m: Millions of parameters.
        epoch_length: Iterations of an epoch; 0 where they are not known.
    """

    label: str
    seed: int
    config: Config
    source: str
    folder: Path
    stage1: Run | None = None
    parameters_m: float = 0.0
    epoch_length: int = 0
    state: str = 'waiting'

    def __post_init__(self) -> None:
        self.text = self.config.pretty_text

    def __str__(self) -> str:
        return f'{self.label}, seed {self.seed}'

    @property
    def work_dir(self) -> Path:
        """Working directory of mmengine."""
        return self.folder / f'seed{self.seed}'

    @property
    def config_file(self) -> Path:
        """The config that is trained: later edits of the original change no run."""
        return self.folder / f'seed{self.seed}.py'

    @property
    def log(self) -> Path:
        """What the training printed, of all attempts."""
        return self.folder / f'seed{self.seed}.log'

    @property
    def done_file(self) -> Path:
        """Written when the training has ended with status 0; nothing else says finished."""
        return self.work_dir / 'done.json'

    def done(self) -> dict | None:
        """What was recorded when it finished, or None."""
        return json.loads(self.done_file.read_text()) if self.done_file.exists() else None

    def result(self) -> dict:
        """Scores of a finished run, as in ``ablation.json``."""
        found = summarize(self.work_dir)
        # mmengine logs every n-th iteration only: the last ones of an epoch need not be there
        found['iterations'] = max(found['iterations'], found['epochs'] * self.epoch_length)
        return {
            'label': self.label,
            'seed': self.seed,
            'config': self.source,
            'stage1': self.stage1 and self.stage1.label,
            'parameters_m': self.parameters_m,
            **found,
            'environment': self.done()['environment'],
        }


def _flat(value: object, name: str = '') -> dict[str, object]:
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, (list, tuple)) and any(isinstance(v, dict) for v in value):
        items = enumerate(value)
    else:
        return {name: value}
    found: dict[str, object] = {}
    for key, part in items:
        found |= _flat(part, f'{name}.{key}' if name else str(key))
    return found


def differences(old: dict, new: dict) -> list[str]:
    """What differs between two configs, as lines ``key: old -> new``."""
    before, after = _flat(old), _flat(new)
    return [
        f'{key}: {before.get(key, "absent")!r} -> {after.get(key, "absent")!r}'
        for key in dict.fromkeys([*before, *after])
        if key not in before or key not in after or before[key] != after[key]
    ]


def check_earlier(run: Run, resume: bool) -> None:
    """Compare a run with what an earlier attempt left.

    Raises:
        ValueError: It was made with another config, or was interrupted and is not to be resumed.
    """
    if run.config_file.exists() and run.config_file.read_text(encoding='utf-8') != run.text:
        changed = differences(
            Config.fromfile(run.config_file).to_dict(), Config.fromstring(run.text, '.py').to_dict()
        )
        if changed:
            raise ValueError(
                f'{run}: {run.folder} holds a run of another config; give another OUT_DIR or '
                f'LABEL, or remove that folder. What changed:{first_ten(changed, lines=True)}'
            )
    if run.work_dir.exists() and not run.done_file.exists() and not resume:
        raise ValueError(
            f'{run}: {run.work_dir} holds a run that was not finished; add --resume to go on '
            'with it, or remove that folder'
        )


def _best_file(work_dir: Path, epoch: int) -> Path | None:
    """The whole checkpoint that mmengine saved as the best at an epoch."""
    found = [p for p in work_dir.glob(f'best_*_epoch_{epoch}.pth') if zipfile.is_zipfile(p)]
    return found[0] if found else None


def _scored(work_dir: Path) -> dict[int, float]:
    """Score of every validated epoch."""
    try:
        rows = read_rows(work_dir)
    except ValueError:
        return {}
    return {row['step']: row[CHOOSES] for row in rows if CHOOSES in row}


def step_back(run: Run) -> None:
    """Let a run that was killed during a validation go on one epoch earlier.

    mmengine saves the checkpoint of an epoch before that epoch is validated, so that a resumed run
    would never score it. Then, and where the best checkpoint of that epoch is not whole, the epoch
    is trained again, if the checkpoint before it is still there.
    """
    pointer = run.work_dir / 'last_checkpoint'
    if not pointer.exists():
        return
    newest = Path(pointer.read_text().strip())
    match = re.fullmatch(r'epoch_(\d+)\.pth', newest.name)
    if match is None:
        return
    epoch, scores = int(match[1]), _scored(run.work_dir)
    saves_best = run.config.get('default_hooks', {}).get('checkpoint', {}).get('save_best')
    interval = run.config.train_cfg.get('val_interval', 1)
    last = epoch == run.config.train_cfg.get('max_epochs')
    if epoch not in scores:
        whole = not last and epoch % interval != 0
    elif saves_best and scores[epoch] == max(scores.values()):
        whole = _best_file(run.work_dir, epoch) is not None
    else:
        whole = True
    before = newest.with_name(f'epoch_{epoch - 1}.pth')
    if not whole and zipfile.is_zipfile(before):
        write(pointer, str(before))
    elif not whole and epoch == 1:
        pointer.unlink()


def keep_one_best(work_dir: Path) -> None:
    """Remove the best checkpoints that a better one follows.

    A checkpoint does not know the score of its own epoch, so that a resumed run may save a second,
    lower best one.
    """
    scores = _scored(work_dir)
    best = _best_file(work_dir, max(scores, key=scores.get)) if scores else None
    for path in work_dir.glob('best_*.pth') if best else ():
        if path != best:
            path.unlink()


@contextmanager
def locked(folder: Path):
    """Hold a folder for this process and the trainings it starts.

    The trainings inherit the lock: one that outlives a killed ablation still keeps a second one
    from writing into its files.

    Yields:
        The file descriptor to pass on.

    Raises:
        ValueError: It is held already.
    """
    import fcntl

    with (folder / '.lock').open('w') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ValueError(
                f'{folder} is in use by another ablation, or by a training that one left running'
            ) from error
        yield file.fileno()


def shares(jobs: int) -> list[list[int]]:
    """Split the cores of this process into equal shares, neighbours together.

    Raises:
        ValueError: There are fewer cores than shares.
    """
    if hasattr(os, 'sched_getaffinity'):
        cores = sorted(os.sched_getaffinity(0))
    else:
        cores = list(range(os.cpu_count() or 1))
    if not 1 <= jobs <= len(cores):
        raise ValueError(f'{jobs}: choose 1 to {len(cores)}, the cores at hand')
    size = len(cores) // jobs
    return [cores[i * size : (i + 1) * size] for i in range(jobs)]


def threads_of(share: Sequence[int]) -> int:
    """Threads for a share of the cores; fewer where OMP_NUM_THREADS already asks for fewer."""
    asked = os.environ.get('OMP_NUM_THREADS', '')
    return min(len(share), int(asked)) if asked.isdigit() and int(asked) else len(share)


class Pool:
    """Trains runs, several at a time, each on cores of its own.

    Args:
        runs: Runs in the order in which to start them. One that waits for its stage 1 lets later
            ones pass.
        cores: Cores of each worker, as :func:`shares` gives them.
        lock: File descriptor that the trainings inherit.
        describe: Gives what to record of the environment, from the number of threads.
        report: Called with a run that ended and the text of its failure (None: it finished).
    """

    def __init__(
        self,
        runs: Sequence[Run],
        cores: Sequence[Sequence[int]],
        lock: int,
        describe: Callable[[int], dict],
        report: Callable[[Run, str | None], None],
    ) -> None:
        self.waiting = [run for run in runs if run.state == 'waiting']
        self.cores, self.lock, self.describe, self.report = cores, lock, describe, report
        self.changed = threading.Condition()
        self.processes: set[subprocess.Popen] = set()
        self.stopped = False
        self.error: Exception | None = None

    def run(self) -> None:
        """Train all; an exception (Ctrl-C, SIGTERM) ends the trainings under way."""
        # Events, not join: one that a signal interrupts takes its thread for ended (Python 3.11).
        ended = [threading.Event() for _ in self.cores]
        try:
            for cores, event in zip(self.cores, ended, strict=True):
                threading.Thread(target=self._work, args=(cores, event), daemon=True).start()
            for event in ended:
                while not event.wait(0.5) and self.error is None:
                    pass
        finally:
            with self.changed:
                self.stopped = True
                self.changed.notify_all()
                for process in self.processes:
                    process.terminate()
            for event in ended:
                event.wait(30)
        if self.error is not None:
            raise self.error

    def _next(self) -> Run | None:
        """Take the first run that can start; None when there is no more to do."""
        with self.changed:
            while self.waiting and not self.stopped:
                for run in self.waiting:
                    if run.stage1 is None or run.stage1.state in ('finished', 'failed'):
                        self.waiting.remove(run)
                        run.state = 'running'
                        return run
                self.changed.wait()
        return None

    def _work(self, cores: Sequence[int], ended: threading.Event) -> None:
        try:
            if hasattr(os, 'sched_setaffinity'):
                os.sched_setaffinity(0, cores)  # of this thread, and of what it starts
            self._work_off(cores)
        except Exception as error:  # of a report: no result could be written any more
            self.error = error
        finally:
            ended.set()

    def _work_off(self, cores: Sequence[int]) -> None:
        while (run := self._next()) is not None:
            try:
                problem = self._train(run, threads_of(cores))
            except Exception as error:
                problem = f'{type(error).__name__}: {error}'
            with self.changed:
                if self.stopped:
                    return
                run.state = 'failed' if problem else 'finished'
                try:
                    self.report(run, problem)
                finally:
                    self.changed.notify_all()

    def _train(self, run: Run, threads: int) -> str | None:
        if run.stage1 is not None and run.stage1.state == 'failed':
            return f'not started, as its stage 1 failed ({run.stage1})'
        resume = run.work_dir.exists()
        if resume:
            step_back(run)
        run.work_dir.mkdir(parents=True, exist_ok=True)
        write(run.config_file, run.text)
        command = [*TRAIN, str(run.config_file), '--work-dir', str(run.work_dir)]
        command += ['--resume'] if resume else []
        described = self.describe(threads)  # now: the commit may be another one when it ends
        # Threads that wait by spinning slow each other down as soon as the cores are shared.
        env = {'OMP_WAIT_POLICY': 'passive', **os.environ, 'OMP_NUM_THREADS': str(threads)}
        with run.log.open('a', encoding='utf-8') as log:
            with self.changed:
                if self.stopped:
                    return 'stopped'
                print(f'{run}: {"resumed" if resume else "started"} (log: {run.log})', flush=True)
                process = subprocess.Popen(
                    command, env=env, stdin=subprocess.DEVNULL, stdout=log,
                    stderr=subprocess.STDOUT, pass_fds=[self.lock],
                )  # fmt: skip
                self.processes.add(process)
            status = process.wait()
            with self.changed:
                self.processes.discard(process)
        if status:
            lines = run.log.read_text(encoding='utf-8', errors='replace').splitlines()
            return f'ended with status {status}; the end of {run.log}:\n' + '\n'.join(
                f'  {line}' for line in lines[-_TAIL:]
            )
        summarize(run.work_dir)  # a training without scores is none
        keep_one_best(run.work_dir)
        record = {
            'status': 0,
            'label': run.label,
            'seed': run.seed,
            'config_sha256': hashlib.sha256(run.text.encode()).hexdigest(),
            'environment': described,
        }
        write(run.done_file, json.dumps(record, indent=2) + '\n')
        return None
