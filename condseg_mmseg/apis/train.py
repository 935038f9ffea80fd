"""Trains one config with the installed MMSegmentation's own script, in one process or several."""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from mmengine.config import Config

from ..configs import find_config, read_config
from ..datasets import DatasetFilesError
from ..utils.arguments import check_folder
from ..utils.cfg_options import read_options
from ..utils.errors import UserError, user_errors
from ..utils.mmseg_scripts import run_script
from ..utils.process import ProcessError, run_logged, silent


def train(
    config: str | Path,
    *,
    work_dir: str | Path | None = None,
    resume: bool = False,
    amp: bool = False,
    cfg_options: Sequence[str] = (),
    gpus: int | None = None,
    launcher: str = 'none',
    show: Callable[[str], None] = silent,
) -> None:
    """Train one config, as mmseg's ``tools/train.py`` does.

    Args:
        config: File, or name of a shipped config.
        work_dir: Folder of logs and checkpoints. Default None: ``work_dirs/`` and the name of the
            config.
        resume: Continue from the last checkpoint in ``work_dir``. Default False.
        amp: Train in mixed precision, which needs an accelerator. Default False.
        cfg_options: ``KEY=VALUE`` texts that change the config.
        gpus: Number of processes, one for each GPU; without a GPU they share the CPU. Default
            None: train in this process.
        launcher: What started this process: ``'none'``, ``'pytorch'``, ``'slurm'`` or ``'mpi'``.
            Default ``'none'``.
        show: Is called with every line that the processes of ``gpus`` print. Default: nothing.

    Raises:
        UserError: The config cannot be read or does not import its modules, ``work_dir`` cannot be
            written, at the start or later, or files of the data are missing or unfit.
        ProcessError: One of several processes failed, or was stopped.
    """
    cfg = read_config(config, read_options(list(cfg_options)))
    path = find_config(config)
    check_imports(cfg, path)
    folder = Path(work_dir or cfg.get('work_dir') or Path('work_dirs') / path.stem)
    check_folder('--work-dir', folder)
    if gpus is not None:
        if launcher != 'none':
            raise UserError(f'--gpus {gpus} and --launcher {launcher}: give one of them')
        command = train_command(script_arguments(path, work_dir, resume, amp, cfg_options), gpus)
        status, stopped = run_logged(command, show=show)
        if status:
            what = f'was stopped by signal {stopped}' if stopped else f'ended with status {status}'
            raise ProcessError(f'the training {what}: {shlex.join(command)}', status, stopped)
        return
    arguments = script_arguments(path, work_dir, resume, amp, cfg_options)
    with user_errors(DatasetFilesError), _written_to(folder):
        run_script('train.py', [*arguments, '--launcher', launcher])


@contextlib.contextmanager
def _written_to(folder: Path) -> Iterator[None]:
    """Turn the failure of a write into a folder, as of mmengine's logs, into a user error."""
    try:
        yield
    except OSError as error:
        name, kept = error.filename, 'what was saved before is whole'
        if name is None and error.errno in (errno.ENOSPC, errno.EDQUOT):  # of a file that is open
            raise UserError(
                f'a disk is full, that of {folder} or of a temporary file; {kept}'
            ) from error
        if not isinstance(name, str) or folder.resolve() not in Path(name).resolve().parents:
            raise
        raise UserError(f'{name} cannot be written: {error.strerror}; {kept}') from error


def check_imports(cfg: Config, path: Path) -> None:
    """Refuse a config with which mmseg's script would not find our modules.

    Args:
        cfg: The config.
        path: Its file, for the message.

    Raises:
        UserError: It imports nothing.
    """
    if not (cfg.get('custom_imports') or {}).get('imports'):
        raise UserError(
            f'{path} imports no modules, so that mmseg would not know those of this package: add '
            "custom_imports = dict(imports=['condseg_mmseg'], allow_failed_imports=False)"
        )


def script_arguments(
    config: Path,
    work_dir: str | Path | None = None,
    resume: bool = False,
    amp: bool = False,
    cfg_options: Sequence[str] = (),
) -> list[str]:
    """Write the arguments of :func:`train` as mmseg's script and ``condseg train`` read them.

    Args:
        config: File.
        work_dir: As of :func:`train`, like the other arguments. Default None.
        resume: Default False.
        amp: Default False.
        cfg_options: Default ``()``.
    """
    return [
        str(config),
        *([] if work_dir is None else ['--work-dir', str(work_dir)]),
        *(['--resume'] if resume else []),
        *(['--amp'] if amp else []),
        *(['--cfg-options', *cfg_options] if cfg_options else []),
    ]


def train_command(arguments: Sequence[str], gpus: int | None = None) -> list[str]:
    """Make the command line that trains one config as a process of its own.

    Args:
        arguments: What :func:`script_arguments` returned.
        gpus: With a number, PyTorch's launcher starts as many processes. As
            ``tools/dist_train.sh``, it reads the variables NNODES, NODE_RANK, MASTER_ADDR and PORT.

    Raises:
        UserError: ``gpus`` is less than 1.
    """
    train = ['-m', 'condseg_mmseg', 'train', *arguments]
    if gpus is None:
        return [sys.executable, *train]
    if gpus < 1:
        raise UserError(f'--gpus must be >= 1, got {gpus}')
    launch = ['-m', 'torch.distributed.run', f'--nproc_per_node={gpus}']
    for option, variable, default in (
        ('nnodes', 'NNODES', '1'),
        ('node_rank', 'NODE_RANK', '0'),
        ('master_addr', 'MASTER_ADDR', '127.0.0.1'),
        ('master_port', 'PORT', '29500'),
    ):
        launch.append(f'--{option}={os.environ.get(variable, default)}')
    return [sys.executable, *launch, *train, '--launcher', 'pytorch']
