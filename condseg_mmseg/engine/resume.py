"""Makes the working directory of a killed training ready to be resumed.

mmengine writes checkpoints in place, and removes the old best one before it writes the new. A run
that is killed may leave a truncated newest checkpoint, a truncated best one, or no best one.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch

from ..utils.files import replaced_at_once, write_text
from .best_checkpoint import best_checkpoint, best_info, is_whole

# not the 'epoch_3-0a1b2c3d.pth' that mmengine publishes when it is asked to, nor the hidden file
# of a killed writer
_NUMBERED = re.compile(r'(?!\.|best_)(?!.*-[0-9a-f]{8}\.pth$)(?:.*\D)?(\d+)\.pth')


def numbered(folder: Path) -> list[Path]:
    """The checkpoints to resume from, ``epoch_3.pth`` or ``iter_600.pth``, newest first.

    Args:
        folder: Working directory, which need not exist.
    """
    found = [(m, path) for path in folder.glob('*.pth') if (m := _NUMBERED.fullmatch(path.name))]
    return [path for _, path in sorted(found, key=lambda item: -int(item[0][1]))]


def has_checkpoint(folder: Path) -> bool:
    """Whether a working directory holds a checkpoint, whole or truncated."""
    return any(folder.glob('*.pth*'))


def _load(path: Path) -> dict[str, Any]:
    """Read a checkpoint of mmengine safely, without reading its tensors."""
    return torch.load(path, map_location='cpu', weights_only=True, mmap=True)


def prepare_resume(folder: Path) -> tuple[Path | None, list[str]]:
    """Put a working directory of a killed run in order, so that mmseg's ``--resume`` works.

    Truncated checkpoints are renamed. If the checkpoint to resume from does not know of a whole
    best one, that is written into it, or the next score would count as the best. If the best one
    was lost, mmengine would go on comparing with its score: that score is removed, and the last
    epoch, which had made a better one, is trained again from the checkpoint before.

    Args:
        folder: Working directory of a stage.

    Returns:
        The checkpoint that mmengine will resume from, None to start anew; and what to say.
    """
    told, moved = [], []
    for path in sorted(folder.glob('*.pth')):
        if not is_whole(path):
            aside = _free(path.with_name(f'{path.name}.truncated'))
            path.rename(aside)
            moved.append(path.name)
            told.append(f'{path} is truncated, the run was killed: renamed to {aside.name}')
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
        content = _load(chosen)
        info = content['message_hub']['runtime_info']
        for key in before:
            del info[key]
        info.update(after)
        with replaced_at_once(chosen) as temporary:
            torch.save(content, temporary)
    write_text(pointer, str(chosen))
    return chosen, told


def outcome(folder: Path) -> dict[str, Any]:
    """What a finished stage has reached, from its newest checkpoint.

    Returns:
        ``epochs``, ``iterations``, ``last_file``, ``best_file`` and ``best_score`` (of the metric
        that ``save_best`` names), None where there is none.
    """
    found = [path for path in numbered(folder) if is_whole(path)]
    content = _load(found[0]) if found else {}
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
    """The path, or with a number after it, the first that is not taken."""
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_name(f'{path.name}{number}')
    return free
