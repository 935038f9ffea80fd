"""What the maintainers' tools share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from torch import nn

import condseg_mmseg  # noqa: F401 - registers our types
from condseg_mmseg.utils.environment import environment

ROOT = Path(__file__).resolve().parents[2]


def build_model(config: Config) -> Any:
    """Build the network of a config; no weights are read."""
    init_default_scope('mmseg')
    return MODELS.build(config.model)


def count(module: nn.Module) -> int:
    """Number of parameters of a module."""
    return sum(parameter.numel() for parameter in module.parameters())


def made_with(threads: int, machine: str | None = None) -> dict[str, Any]:
    """Describe what a result that is published was made with, without the name of the host.

    Args:
        threads: Of torch.
        machine: What to call the processor. Default None: by its name.
    """
    where = environment()
    del where['machine']['name']
    where['machine'] |= {'threads': threads} | ({'cpu': machine} if machine else {})
    return where


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
