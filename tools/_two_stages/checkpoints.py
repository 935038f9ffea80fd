"""The checkpoints of a working directory of mmengine: which are whole, and which to go on from.

mmengine writes them in place, and of a new best one it first removes the old. A run that is killed
may so leave a truncated newest checkpoint, a truncated best one, or none.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Any

import torch

from condseg_mmseg.engine.best_checkpoint import best_checkpoint, best_info
from condseg_mmseg.engine.checkpoint_loader import damage_of

# not the 'epoch_3-0a1b2c3d.pth' that mmengine publishes when it is asked to
_NUMBERED = re.compile(r'(?!best_)(?!.*-[0-9a-f]{8}\.pth$)(?:.*\D)?(\d+)\.pth')


def numbered(folder: Path) -> list[Path]:
    """The checkpoints to resume from, ``epoch_3.pth`` or ``iter_600.pth``, newest first.

    Args:
        folder: Working directory, which need not exist.
    """
    found = [(m, path) for path in folder.glob('*.pth') if (m := _NUMBERED.fullmatch(path.name))]
    return [path for _, path in sorted(found, key=lambda item: -int(item[0][1]))]


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint of mmengine safely, without reading its tensors."""
    return torch.load(path, map_location='cpu', weights_only=True, mmap=True)


def prepare_resume(folder: Path) -> tuple[Path | None, list[str]]:
    """Put a working directory of a killed run in order, so that mmseg's ``--resume`` works.

    Truncated checkpoints are moved aside. A whole best one that the checkpoint to resume from does
    not know of is made known to it, or the next score would count as the best. Where the best one
    was lost, mmengine would go on comparing with its score: it is forgotten, and the last epoch,
    which had made a better one, is done again from the checkpoint before.

    Args:
        folder: Working directory of a stage.

    Returns:
        The checkpoint that mmengine will resume from, None to start anew; and what to say.
    """
    told, moved = [], []
    for path in sorted(folder.glob('*.pth')):
        if damage_of(path):
            aside = _free(path.with_name(f'{path.name}.truncated'))
            path.rename(aside)
            moved.append(path.name)
            told.append(f'{path} is truncated, the run was killed: moved to {aside.name}')
    pointer = folder / 'last_checkpoint'
    found = numbered(folder)
    if not found:
        pointer.unlink(missing_ok=True)  # mmengine would fail on a file that is not there
        return None, told
    chosen, known = found[0], _best(folder)
    lost = _lost_best(best_info(chosen), folder) or any(name.startswith('best_') for name in moved)
    newest = not any(_NUMBERED.fullmatch(name) for name in moved)  # no later epoch to do again
    if lost and not known and newest and len(found) > 1:
        chosen = found[1]
        told.append(
            f'the best checkpoint was lost when the run was killed: {found[0].name} is made and '
            'validated again'
        )
    before = best_info(chosen)
    after = {key: value for key, value in before.items() if key not in _lost_keys(before, folder)}
    if known and after != known:
        after = known
        told.append(f'{chosen.name} did not know of the best checkpoint, which is kept')
    if after != before:
        content = load(chosen)
        info = content['message_hub']['runtime_info']
        for key in before:
            del info[key]
        info.update(after)
        part = chosen.with_name(f'{chosen.name}.part')
        torch.save(content, part)
        os.replace(part, chosen)
    part = folder / 'last_checkpoint.part'
    part.write_text(str(chosen))
    os.replace(part, pointer)
    return chosen, told


def outcome(folder: Path) -> dict[str, Any]:
    """What a finished stage has reached, from its newest checkpoint.

    Returns:
        ``epochs``, ``iterations``, ``last_file``, ``best_file`` and ``best_score`` (of the metric
        that ``save_best`` names), None where there is none.
    """
    found = [path for path in numbered(folder) if not damage_of(path)]
    content = load(found[0]) if found else {}
    meta, hub = content.get('meta', {}), best_info(found[0]) if found else {}
    try:
        best = best_checkpoint(folder).name
    except ValueError:
        best = None
    hub = _best(folder) or hub
    score = next((hub[key] for key in hub if key.startswith('best_score')), None)
    return dict(
        epochs=meta.get('epoch'),
        iterations=meta.get('iter'),
        last_file=found[0].name if found else None,
        best_file=best,
        best_score=None if score is None else float(score),
    )


def sha256(path: Path) -> str:
    """Hash of a file, hexadecimal."""
    digest = hashlib.sha256()
    with path.open('rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _best(folder: Path) -> dict[str, Any]:
    """What the best checkpoint of a folder knows of itself; empty where there is none."""
    try:
        path = best_checkpoint(folder)
    except ValueError:
        return {}
    info = best_info(path)
    return info if any(Path(str(file)).name == path.name for file in info.values()) else {}


def _lost_best(info: dict[str, Any], folder: Path) -> list[str]:
    """Keys of the best checkpoints that a checkpoint knows of and that are not there."""
    return [
        key
        for key, path in info.items()
        if key.startswith('best_ckpt') and path and not (folder / Path(path).name).is_file()
    ]


def _lost_keys(info: dict[str, Any], folder: Path) -> set[str]:
    """Those keys, and the ones of their scores."""
    lost = _lost_best(info, folder)
    return {*lost, *(key.replace('best_ckpt', 'best_score') for key in lost)}


def _free(path: Path) -> Path:
    """The path, or with a number behind it the first that is not taken."""
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_name(f'{path.name}{number}')
    return free
