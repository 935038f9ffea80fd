"""What the maintainers' tools share."""

from __future__ import annotations

import contextlib
import copy
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS, MODELS
from torch import nn

import condseg_mmseg  # noqa: F401 - registers our types
from condseg_mmseg.engine.atomic_checkpoint import newest_whole
from condseg_mmseg.utils.environment import environment
from condseg_mmseg.utils.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


def build_model(config: Config) -> Any:
    """Build the network of a config; no weights are read."""
    init_default_scope('mmseg')
    return MODELS.build(config.model)


def count(module: nn.Module) -> int:
    """Number of parameters of a module."""
    return sum(parameter.numel() for parameter in module.parameters())


def check(source: str, config: Config) -> float:
    """Build what a config describes, so that its errors come before the first run.

    Returns:
        Millions of parameters.

    Raises:
        UserError: A part is missing or does not build.
    """
    try:
        model = build_model(config)
        for name in ('train', 'val', 'test'):
            DATASETS.build(copy.deepcopy(config[f'{name}_dataloader'].dataset))
    except Exception as error:  # a config may fail in any way
        reason = ' '.join(str(error).split())
        raise UserError(f'{source} cannot be built: {type(error).__name__}: {reason}') from error
    return round(count(model) / 1e6, 2)


def slug(label: str) -> str:
    """Name of a label's folder."""
    return re.sub(r'[^A-Za-z0-9._+-]+', '-', label).strip('-.')


def made_with(threads: int) -> dict[str, Any]:
    """Describe what a result that is published was made with, without the name of the host.

    Args:
        threads: Of torch.
    """
    where = environment()
    del where['machine']['name']
    where['machine']['threads'] = threads
    return where


@contextlib.contextmanager
def exit_on_sigterm() -> Iterator[None]:
    """Make SIGTERM an exception, so that what was started is ended."""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def unaveraged(checkpoint: Path, to: Path) -> Path:
    """Write the weights that were trained on, of a checkpoint with their average, as its weights.

    Raises:
        ValueError: It holds no average.
    """
    content = torch.load(checkpoint, map_location='cpu', weights_only=True)
    if 'ema_state_dict' not in content:
        raise ValueError(f'{checkpoint} holds no average of the weights')
    prefix = 'module.'  # what has none is the number of steps
    trained = {
        key.removeprefix(prefix): value
        for key, value in content['ema_state_dict'].items()
        if key.startswith(prefix)
    }
    to.parent.mkdir(parents=True, exist_ok=True)
    torch.save({'meta': content['meta'], 'state_dict': trained}, to)
    return to


def trained(run: Path) -> tuple[Path, Path]:
    """Config and last checkpoint of a folder of run_queue.py; of two stages those of the second.

    Raises:
        UserError: There is no checkpoint.
    """
    two = (run / 'stage2.py').exists()
    checkpoint, _ = newest_whole(run / 'train' / ('stage2' if two else ''))
    if checkpoint is None:
        raise UserError(f'{run} holds no checkpoint of a training')
    return run / ('stage2.py' if two else 'config.py'), checkpoint


def replace_block(text: str, name: str, new: str) -> str:
    """Replace what is between the lines ``<!-- NAME -->`` and ``<!-- /NAME -->``.

    Raises:
        ValueError: One of them is missing.
    """
    start, end = f'<!-- {name} -->', f'<!-- /{name} -->'
    head, found, rest = text.partition(start)
    if not found or end not in rest:
        raise ValueError(f'the lines {start} and {end} are missing')
    return f'{head}{start}\n{new}\n{end}{rest.partition(end)[2]}'
