"""Checkpoints that a crash cannot damage, and a resume that finds the newest whole one."""

from __future__ import annotations

import bisect
import functools
import os
import re
import signal
import sys
import threading
from collections import deque
from pathlib import Path
from typing import Any

from mmengine.dist import barrier, broadcast_object_list, is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.runner import BaseLoop, EpochBasedTrainLoop, Runner
from mmseg.registry import HOOKS

from ..utils.errors import UserError
from ..utils.files import replaced_at_once, write_errors, write_text
from ..utils.text import first_ten
from .damage import damage_of

# neither a hidden file, which a killed write left, nor the 'epoch_3-0a1b2c3d.pth' that mmengine
# publishes when it is asked to
_NUMBERED = re.compile(r'(?!\.)(?!best_)(?!.*-[0-9a-f]{8}\.pth$)(?:.*\D)?(\d+)\.pth')
_BACKEND = 'atomic_local'


class AtomicLocalBackend(LocalBackend):
    """Files of this machine, each written under a temporary name, synced and renamed."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Replace a file at once; if that fails, the old one stays."""
        with write_errors(filepath):
            Path(filepath).parent.mkdir(parents=True, exist_ok=True)
            with replaced_at_once(filepath) as temporary:
                temporary.write_bytes(obj)


register_backend(_BACKEND, AtomicLocalBackend)


def numbered_checkpoints(folder: str | Path) -> list[Path]:
    """List the checkpoints to resume from, ``epoch_3.pth`` or ``iter_600.pth``, newest first.

    Args:
        folder: Working directory, which need not exist.
    """
    files = Path(folder).glob('*.pth')
    found = [(match, path) for path in files if (match := _NUMBERED.fullmatch(path.name))]
    return [path for _, path in sorted(found, key=lambda item: -int(item[0][1]))]


def newest_whole(folder: str | Path) -> tuple[Path | None, list[str]]:
    """Find the checkpoint to resume from, whatever ``last_checkpoint`` says.

    Args:
        folder: Working directory of mmengine.

    Returns:
        The newest one that is whole, None if there is no checkpoint; and one sentence for each
        newer one that is damaged.

    Raises:
        UserError: There are checkpoints, and all of them are damaged.
    """
    damaged: list[str] = []
    found = numbered_checkpoints(folder)
    for path in found:
        damage = damage_of(path)
        if not damage:
            return path, damaged
        damaged.append(f'{path} is not used: {damage}')
    if found:
        raise UserError(
            f'{folder}: all checkpoints to resume from are damaged '
            f'({first_ten(path.name for path in found)}): delete them to start anew'
        )
    return None, damaged


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """mmengine's ``CheckpointHook``, which loses nothing to a crash.

    * Every file is written under a temporary name, synced and renamed: a checkpoint is whole or
      not there.
    * What is outdated is deleted after what replaces it is on the disk.
    * Where a validation follows, the checkpoint of the epoch is written after it, and after the
      best one: it knows of the best, and a resume does not skip a validation.
    * SIGTERM ends the run at once, with the name of the last checkpoint and status 143.
    * ``--resume`` goes on from the newest whole checkpoint, and names those that are damaged,
      whatever the file ``last_checkpoint`` says.

    It works with any project of mmengine, as ``default_hooks.checkpoint``, on local disks. The
    arguments are those of ``CheckpointHook``, but for ``backend_args`` and ``file_client_args``.
    """

    last_ckpt: str | None
    keep_ckpt_ids: deque[int]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, backend_args={'backend': _BACKEND}, **kwargs)
        self._waits = False  # a checkpoint is due when the validation is over
        self._handler_before: Any = None

    def before_run(self, runner: Runner) -> None:
        """Choose what ``--resume`` goes on from, and end by name when SIGTERM comes."""
        if not isinstance(runner._train_loop, BaseLoop):
            return
        if threading.current_thread() is threading.main_thread():
            end = functools.partial(self._end, runner, os.getpid())
            self._handler_before = signal.signal(signal.SIGTERM, end)
        if not runner._resume:
            return
        if runner._load_from is None:
            self._choose(runner)
        self.last_ckpt = runner._load_from
        if self.last_ckpt is None or not is_main_process():
            return
        if Path(self.last_ckpt).resolve().parent == self._folder(runner).resolve():
            # a crash may have come between the checkpoint and the pointer
            self._point(runner)

    def after_run(self, runner: Runner) -> None:
        """Wait until the main process has saved, and give SIGTERM back."""
        barrier()
        if self._handler_before is not None:
            signal.signal(signal.SIGTERM, self._handler_before)
            self._handler_before = None

    def _choose(self, runner: Runner) -> None:
        answer: list[Any] = [None]
        if is_main_process():
            folder = self._folder(runner)
            try:
                answer = [newest_whole(folder)]
            except UserError as error:
                answer = [error]
            for path in folder.glob('.*.pth'):  # a killed write left it
                path.unlink()
        broadcast_object_list(answer)
        if isinstance(answer[0], UserError):
            raise answer[0]
        chosen, damaged = answer[0]
        for sentence in damaged:
            runner.logger.warning(sentence)
        if chosen is None:
            runner.logger.warning(f'{runner.work_dir} has no checkpoint: training starts anew')
            runner._resume = False  # whatever a stale last_checkpoint names
        else:
            runner._load_from = str(chosen)

    def _point(self, runner: Runner) -> None:
        """Write mmengine's file that names the last checkpoint."""
        path = Path(runner.work_dir) / 'last_checkpoint'
        with write_errors(path):
            write_text(path, str(self.last_ckpt))

    def _folder(self, runner: Runner) -> Path:
        """Where the checkpoints are."""
        folder = Path(runner.work_dir)
        # mmengine adds the last part of the working directory
        return folder if self.out_dir is None else Path(self.out_dir) / folder.name

    def _end(self, runner: Runner, process: int, number: int, frame: Any) -> None:
        if os.getpid() == process:  # not in a worker of the data loader
            last = self.last_ckpt or runner._load_from
            runner.logger.warning(
                f'SIGTERM: the training ends; --resume goes on from {last or "the beginning"}'
            )
        sys.stdout.flush()
        os._exit(128 + number)  # an exception would be caught by the next `except:` of a library

    def after_train_epoch(self, runner: Runner) -> None:
        """Save, or leave it to the validation that follows."""
        if self._validation_follows(runner, by_epoch=True):
            self._waits = self._is_due(runner.epoch + 1, runner.max_epochs)
        else:
            super().after_train_epoch(runner)

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Save, or leave it to the validation that follows."""
        if self._validation_follows(runner, by_epoch=False):
            self._waits = self._is_due(runner.iter + 1, runner.max_iters)
        else:
            super().after_train_iter(runner, *args, **kwargs)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float]) -> None:
        """Save the best one, then the checkpoint of the epoch, then delete what is outdated."""
        if not isinstance(runner._train_loop, BaseLoop):
            return  # a validation alone
        before, last = self._best(), self.last_ckpt
        # super() neither deletes the best ones nor saves the epoch again
        self._set_best(dict.fromkeys(before))
        self.last_ckpt = None
        super().after_val_epoch(runner, metrics)
        self.last_ckpt = last
        after = self._best()
        self._set_best({key: after[key] or before[key] for key in before})
        # as mmengine does, also between two intervals, once there is one to resume from
        if self._waits or (last is not None and any(after.values())):
            meta = dict(epoch=runner.epoch, iter=runner.iter)
            step = runner.epoch if self.by_epoch else runner.iter
            self._save_checkpoint_with_step(runner, step, meta)
        self._waits = False
        if is_main_process():
            for key, path in before.items():
                if path and after[key] and path != after[key]:
                    Path(path).unlink(missing_ok=True)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        outdated: list[int] = []
        if self.max_keep_ckpts > 0:
            steps = [*(kept for kept in self.keep_ckpt_ids if kept != step), step]
            outdated, steps = steps[: -self.max_keep_ckpts], steps[-self.max_keep_ckpts :]
            self.keep_ckpt_ids = deque(steps)
            runner.message_hub.update_info('keep_ckpt_ids', steps)
        name = self.filename_tmpl.format(step)
        self.last_ckpt = str(Path(self.out_dir) / name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            name,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        if is_main_process():
            self._point(runner)
            for kept in outdated:
                (Path(self.out_dir) / self.filename_tmpl.format(kept)).unlink(missing_ok=True)

    def _is_due(self, step: int, end: int) -> bool:
        beyond = step - self.save_begin
        regular = self.interval > 0 and beyond >= 0 and beyond % self.interval == 0
        return regular or (self.save_last and step == end)

    def _validation_follows(self, runner: Runner, by_epoch: bool) -> bool:
        """Whether mmengine's loop validates after this epoch, or this iteration."""
        loop = runner._train_loop
        counts_epochs = isinstance(loop, EpochBasedTrainLoop)
        if runner.val_loop is None or by_epoch != self.by_epoch or by_epoch != counts_epochs:
            return False
        step = (loop.epoch if by_epoch else loop.iter) + 1
        end = loop.max_epochs if by_epoch else loop.max_iters
        milestone = bisect.bisect(loop.dynamic_milestones, step + 1)
        interval = loop.dynamic_intervals[milestone - 1]
        return step >= loop.val_begin and (step % interval == 0 or step == end)

    def _best(self) -> dict[str, str | None]:
        if not self.save_best:
            return {}
        if len(self.key_indicators) == 1:
            return {self.key_indicators[0]: self.best_ckpt_path}
        return {key: self.best_ckpt_path_dict.get(key) for key in self.key_indicators}

    def _set_best(self, paths: dict[str, str | None]) -> None:
        if len(paths) == 1:
            (self.best_ckpt_path,) = paths.values()
        elif paths:
            self.best_ckpt_path_dict = dict(paths)
