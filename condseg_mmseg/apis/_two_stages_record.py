"""The record of both trainings, two_stages.json: begun, read, compared, written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ..engine.atomic_checkpoint import numbered_checkpoints
from ..engine.best_checkpoint import best_checkpoint, best_info, own_score
from ..engine.damage import damage_of
from ..utils.errors import UserError
from ..utils.files import sha256, write_errors, write_json
from ..utils.lock import LOCK
from ..utils.text import first_ten
from ._stage_config import Stage, differences

NAME = 'two_stages.json'
_UNFINISHED = ('.two_stages.*.json', 'stage[12]/.*.pth', 'stage[12]/.last_checkpoint.*')
_TOOL = 'condseg train'
_TOOLS = (_TOOL, 'tools/train_two_stages.py')  # earlier versions wrote the second


class Record(dict[str, Any]):
    """The content of two_stages.json.

    Args:
        folder: Working directory of both trainings.
        content: What it begins with.
    """

    def __init__(self, folder: Path, content: dict[str, Any]) -> None:
        super().__init__(content)
        self.folder = folder

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / NAME

    @classmethod
    def new(cls, folder: Path, **content: Any) -> Record:
        """Begin a record, which is not written yet."""
        return cls(folder, dict(tool=_TOOL, format=1, **content, stages={}))

    @classmethod
    def read(cls, folder: Path) -> Record | None:
        """Read the record of a working directory, None if there is none.

        Raises:
            UserError: The file is no such record.
        """
        path = folder / NAME
        if not path.is_file():
            return None
        try:
            content = json.loads(path.read_text(encoding='utf-8'))
        except ValueError as error:
            raise UserError(f'{path}: not JSON: {error}') from error
        if not isinstance(content, dict) or content.get('tool') not in _TOOLS:
            raise UserError(f'{path}: not a record of `condseg train`')
        if content.get('format') != 1:
            raise UserError(f'{path}: format {content.get("format")}, this version knows 1')
        return cls(folder, content)

    def save(self) -> None:
        """Write the file; whoever reads it sees the old one or the new one.

        Raises:
            UserError: It cannot be written.
        """
        with write_errors(self.path):
            write_json(self.path, self)

    def has_something(self) -> bool:
        """Whether a stage is complete or has a checkpoint."""
        complete = any(entry['complete'] for entry in self['stages'].values())
        return complete or any(has_checkpoint(self.folder / f'stage{i}') for i in (1, 2))


def open_record(
    folder: Path, stages: Sequence[Stage], hand_over: str, resume: bool
) -> tuple[Record, list[str]]:
    """Begin the record, or read the one to continue and compare it. Nothing is written.

    A run that has neither a checkpoint nor a complete stage may be started anew without ``resume``;
    its attempts stay in the record.

    Args:
        folder: Working directory of both trainings.
        stages: Both.
        hand_over: ``'best'`` or ``'last'``.
        resume: Whether to continue a run.

    Returns:
        The record, and messages.

    Raises:
        UserError: There is something to continue and no ``resume``, or it is another run.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f'--work-dir {folder} is a file: give a directory')
    messages = []
    begin = dict(directory=str(Path.cwd()), hand_over=hand_over)
    record, anew = Record.read(folder), False
    if record is None:
        begun = {LOCK, *(path.name for path in unfinished(folder))}
        if folder.exists() and any(path.name not in begun for path in folder.iterdir()):
            raise UserError(
                f'{folder} is not empty, and no run of both stages (no {NAME}): give another '
                '--work-dir'
            )
        record = Record.new(folder, **begin)
    elif not resume:
        if record.has_something():
            raise UserError(
                f'{folder} holds a run: continue it with --resume, give another --work-dir, or '
                'delete it'
            )
        anew = True
        record.update(begin)
        messages.append(f'{folder} holds a run without any checkpoint: it starts anew')
    if record['directory'] != begin['directory']:
        raise UserError(
            f'{folder} was started in {record["directory"]}, which relative paths in the '
            'configs depend on: continue it there'
        )
    if record['hand_over'] != hand_over:
        raise UserError(
            f'{folder} was started with --hand-over {record["hand_over"]}, not with {hand_over}'
        )
    for stage in stages:
        messages += _open_stage(record, stage, anew)
    return record, messages


def _open_stage(record: Record, stage: Stage, anew: bool) -> list[str]:
    """Begin the entry of a stage, or compare it; returns messages."""
    entry, folder = record['stages'].get(stage.name), record.folder / stage.name
    changed = differences(entry['settings'], stage.settings) if entry and not anew else []
    if changed and (entry['complete'] or has_checkpoint(folder)):
        raise UserError(
            f'{folder} was trained with other settings than those of {stage.config} and its '
            f'options now:{first_ten(changed, lines=True)}\n'
            'put them back, or give another --work-dir'
        )
    if entry is None or changed or anew:
        record['stages'][stage.name] = dict(
            config=str(stage.config), options=list(stage.options), settings=stage.settings,
            log=f'{stage.name}.log', complete=False, attempts=entry['attempts'] if entry else [],
        )  # fmt: skip
    if changed:
        return [f'{stage.name} has changed and no checkpoint yet, it starts anew: {changed[0]}']
    return []


def choose_hand_over(record: Record) -> tuple[Path, list[str]]:
    """Choose the checkpoint of stage 1 that stage 2 starts from; the record keeps it.

    Returns:
        The file, and messages.

    Raises:
        UserError: The one that was handed over before is gone or another one, or there is none.
    """
    folder, entry = record.folder, record['stages']['stage2']
    earlier = entry.get('handed_over')
    if earlier:
        path = folder / earlier['file']
        if not path.is_file() or sha256(path) != earlier['sha256']:
            raise UserError(
                f'{path}, which stage 2 started from, is gone or has changed since (SHA-256 was '
                f'{earlier["sha256"]})'
            )
        return path, []
    chosen, which, messages = None, record['hand_over'], []
    if which == 'best':
        try:
            chosen = best_checkpoint(folder / 'stage1')
        except ValueError as error:
            messages.append(f'stage 1: {error}. Its last checkpoint is handed over')
            which = 'last'
    if chosen is None:
        last = record['stages']['stage1']['last_file']
        if last is None:
            raise UserError(
                f'{folder}/stage1: the training has ended and left no checkpoint: its config needs '
                'a CheckpointHook'
            )
        chosen = folder / 'stage1' / last
    file = str(chosen.relative_to(folder))
    entry['handed_over'] = dict(file=file, which=which, sha256=sha256(chosen))
    record.save()
    return chosen, messages


def unfinished(folder: Path) -> list[Path]:
    """List the files that a crash left half written.

    Args:
        folder: Working directory of both trainings.
    """
    return [path for pattern in _UNFINISHED for path in folder.glob(pattern)]


def has_checkpoint(folder: Path) -> bool:
    """Whether a working directory holds a checkpoint, whole or damaged."""
    return any(not path.name.startswith('.') for path in folder.glob('*.pth'))


def outcome(folder: Path) -> dict[str, Any]:
    """What a finished stage has reached, from its newest checkpoint.

    Returns:
        ``epochs``, ``iterations``, ``last_file``, ``best_file`` and ``best_score`` (of the metric
        that ``save_best`` names), None where there is none.
    """
    found = [path for path in numbered_checkpoints(folder) if not damage_of(path)]
    content = torch.load(found[0], map_location='cpu', mmap=True) if found else {}
    meta = content.get('meta', {})
    try:
        best = best_checkpoint(folder)
    except ValueError:
        best = None
    score = own_score(best) if best else None
    if score is None and found:
        info = best_info(found[0])
        score = next((float(info[key]) for key in info if key.startswith('best_score')), None)
    return dict(
        epochs=meta.get('epoch'),
        iterations=meta.get('iter'),
        last_file=found[0].name if found else None,
        best_file=best.name if best else None,
        best_score=score,
    )
