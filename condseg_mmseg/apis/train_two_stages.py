"""Trains stage 1, hands its encoder over, and trains stage 2."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ..engine.atomic_checkpoint import newest_whole
from ..utils.arguments import check_folder
from ..utils.cfg_options import path_option
from ..utils.environment import environment, now
from ..utils.errors import UserError
from ..utils.lock import locked
from ..utils.process import ProcessError, run_logged, silent, tail
from ..utils.text import count
from ._stage_config import Stage, check_data_sets, check_encoders_fit, hand_over_options
from ._two_stages_record import (
    Record,
    choose_hand_over,
    has_checkpoint,
    open_record,
    outcome,
    unfinished,
)
from .train import script_arguments, train_command

MESSAGE = '== '  # how the lines begin that are no output of a training


def train_two_stages(
    stage1: str | Path,
    stage2: str | Path,
    *,
    work_dir: str | Path | None = None,
    hand_over: str = 'best',
    resume: bool = False,
    stage1_options: Sequence[str] = (),
    stage2_options: Sequence[str] = (),
    gpus: int | None = None,
    show: Callable[[str], None] = silent,
) -> dict[str, Any]:
    """Train both stages, each as a process of mmseg's own script.

    Stage 2 starts from the encoder of stage 1, BatchNorm statistics included unless its config says
    otherwise (paper, section "Overall Architecture"). That both encoders fit, and the files of the
    training and validation data of both stages, are checked before anything starts. A run that was
    stopped or killed at any moment can be resumed. Relative paths in the configs are relative to
    the current directory.

    Args:
        stage1: Config of stage 1: file, or name of a shipped one.
        stage2: Config of stage 2.
        work_dir: Folder for ``stage1/``, ``stage2/``, ``stage1.log``, ``stage2.log`` and the
            record ``two_stages.json``. Default None: ``work_dirs/`` and the name of ``stage2``.
        hand_over: Which checkpoint of stage 1 stage 2 starts from: ``'best'``, by the ``save_best``
            of its ``CheckpointHook``, or ``'last'``. Default ``'best'``.
        resume: Continue what is in ``work_dir``. Default False.
        stage1_options: ``KEY=VALUE`` texts that change the config of stage 1.
        stage2_options: The same for stage 2.
        gpus: As of :func:`condseg_mmseg.apis.train.train`. Default None: one process.
        show: Is called with every line that the trainings print, and with our own, which begin
            with :data:`MESSAGE`. Default: nothing.

    Returns:
        The record: settings, commands, times, scores, the hash of the checkpoint that was handed
        over, versions and machine.

    Raises:
        UserError: Something cannot work, or there is a run in ``work_dir`` already.
        ProcessError: A training failed or was stopped. The message says how to go on.
    """
    stages = [Stage(1, stage1, stage1_options), Stage(2, stage2, stage2_options)]
    for stage in stages:
        stage.check()
    folder = Path(work_dir or Path('work_dirs') / stages[1].config.stem).resolve()
    try:
        hand_over_options(stages[1], folder / 'stage1' / 'x.pth', Path.cwd())
    except UserError as error:
        raise UserError(f'--work-dir: {error}') from error
    if hand_over not in ('best', 'last'):
        raise UserError(f"--hand-over must be 'best' or 'last', got {hand_over!r}")
    train_command([], gpus)  # refuses a wrong number
    record, _ = open_record(folder, stages, hand_over, resume)
    check_encoders_fit(*stages)
    if gpus and os.environ.get('NNODES', '1') != '1':
        raise UserError(
            'both stages in one command train on one machine: NNODES must be 1; on several, train '
            'stage 1 and then stage 2, each by a command of its own'
        )
    for stage in stages:
        if not record['stages'][stage.name]['complete']:
            check_data_sets(stage, gpus or 1)
    check_folder('--work-dir', folder)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder) as lock:
        # another run may have ended there meanwhile
        record, messages = open_record(folder, stages, hand_over, resume)
        for path in unfinished(folder):
            path.unlink()
        record.save()
        run = _Run(record, gpus, show, lock)
        run.say(*messages)
        for stage in stages:
            if record['stages'][stage.name]['complete']:
                run.say(f'stage {stage.number} is complete')
            else:
                run.train(stage)
    run.say(*_summary(record))
    return record


@dataclass
class _Run:
    """What the trainings of both stages share."""

    record: Record
    gpus: int | None
    show: Callable[[str], None]
    lock: IO[str]

    def say(self, *messages: str) -> None:
        """Show messages."""
        for message in messages:
            self.show(MESSAGE + message)

    def train(self, stage: Stage) -> None:
        """Train a stage to its end, and record it."""
        entry, folder = self.record['stages'][stage.name], self.record.folder / stage.name
        log = self.record.folder / entry['log']
        options = list(stage.options)
        if stage.number == 2:
            checkpoint, messages = choose_hand_over(self.record)
            self.say(*messages, f'stage 2 starts from the encoder of {checkpoint}')
            options += hand_over_options(stage, checkpoint, Path.cwd())
        resumed, messages = newest_whole(folder)
        self.say(*messages)
        if resumed:
            options.append(path_option('load_from', resumed, Path.cwd()))
        again = resumed is not None
        arguments = script_arguments(stage.config, folder, again, cfg_options=options)
        command = train_command(arguments, self.gpus)
        source = resumed.name if resumed else None
        attempt = dict(
            command=command, start=now(), end=None, status=None, resumed_from=source,
            **environment(),
        )  # fmt: skip
        entry['attempts'].append(attempt)
        self.record.save()
        self.say(f'stage {stage.number}: {f"from {source}" if source else stage.config} ({log})')
        status, stopped = run_logged(command, log, self.show, self.lock)
        attempt.update(end=now(), status=status)
        if status == 0:
            hook = stage.cfg.get('default_hooks', {}).get('checkpoint') or {}
            entry.update(complete=True, best_metric=hook.get('save_best'), **outcome(folder))
        self.record.save()
        if status:
            end = f'ended with status {status}:\n{shlex.join(command)}\nthe end of {log}:\n'
            what = f'stopped by signal {stopped}; ' if stopped else end + tail(log)
            advice = how_to_go_on(stage, folder)
            raise ProcessError(f'stage {stage.number} {what}{advice}', status, stopped)


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


def _summary(record: Record) -> list[str]:
    """A line for each stage, and one for the record."""
    lines = []
    for name, entry in record['stages'].items():
        score = entry['best_score']
        best = '' if score is None else f', best {entry["best_metric"]} {score:.4g}'
        lines.append(f'{name}: {count(entry["epochs"], "epoch")}{best}, in {record.folder / name}')
    return [*lines, f'record: {record.path}']
