"""Finds the best checkpoint of a working directory of mmengine."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from ..utils.text import first_ten
from .damage import damage_of

_STEP = re.compile(r'_(epoch|iter)_\d+\.pth$')


def best_info(path: Path) -> dict[str, Any]:
    """What a checkpoint knows of the best one: ``best_score`` and ``best_ckpt``, by metric.

    Args:
        path: A whole checkpoint; what the safe load of torch refuses counts as knowing nothing.
    """
    try:
        content = torch.load(path, map_location='cpu', mmap=True)
        info = content['message_hub']['runtime_info']
    except Exception:  # a file of another program, or of an older torch
        return {}
    return {key: info[key] for key in info if key.startswith(('best_score', 'best_ckpt'))}


def best_checkpoint(work_dir: str | Path) -> Path:
    """Find the best checkpoint in a working directory of mmengine.

    A run that was killed and resumed may have saved a second, lower best one of a metric, since a
    checkpoint does not know the score of its own epoch: then their scores decide.

    Args:
        work_dir: Directory with ``best_*.pth``, which ``CheckpointHook(save_best=...)`` leaves.

    Returns:
        The best one that is whole; of several metrics, that of the one saved last.

    Raises:
        ValueError: There is none.
    """
    found = sorted(Path(work_dir).glob('best_*.pth'), key=lambda path: path.stat().st_mtime_ns)
    whole = [path for path in found if not damage_of(path)]
    if whole:
        metric = _STEP.sub('', whole[-1].name)
        rivals = [path for path in whole if _STEP.sub('', path.name) == metric]
        if len(rivals) == 1:
            return whole[-1]
        scores = [(score, path) for path in rivals[::-1] if (score := own_score(path)) is not None]
        if len(scores) < len(rivals):
            return whole[-1]
        choose = min if _lower_is_better(whole[-1], metric) else max
        return choose(scores, key=lambda item: item[0])[1]
    names = first_ten(path.name for path in found)
    state = f'only damaged ones ({names})' if found else 'none'
    raise ValueError(
        f'{work_dir}: no best checkpoint to start from: there is {state}. A run leaves best_*.pth '
        'once a validation is over, if its CheckpointHook has save_best; or give a checkpoint file'
    )


def own_score(path: Path) -> float | None:
    """The score for which a best checkpoint was saved, None where it does not know."""
    info = best_info(path)
    for key, file in info.items():
        if key.startswith('best_ckpt') and Path(str(file)).name == path.name:
            score = info.get(key.replace('best_ckpt', 'best_score'))
            return None if score is None else float(score)
    return None


def _lower_is_better(path: Path, metric: str) -> bool:
    """The rule of the hook that saved a best checkpoint, or what mmengine infers from the name."""
    try:
        content = torch.load(path, map_location='cpu', mmap=True)
        rule = _rule(content['meta']['cfg'])
    except Exception:  # it has no config, or no rule
        return 'loss' in metric
    return (rule[0] if isinstance(rule, (list, tuple)) else rule) == 'less'


def _rule(config: str) -> Any:
    """``default_hooks.checkpoint.rule`` of the text of a config, which is read and not run."""
    for hook in _arguments(ast.parse(config), 'checkpoint'):
        for rule in _arguments(hook, 'rule'):
            return ast.literal_eval(rule)
    raise ValueError('no rule')


def _arguments(node: ast.AST, name: str) -> Iterator[ast.AST]:
    return (k.value for k in ast.walk(node) if isinstance(k, ast.keyword) and k.arg == name)
