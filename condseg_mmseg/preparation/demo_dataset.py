"""A seeded data set of endoscopy-like scenes with soft-edged polyps."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from condseg_mmseg.utils.arguments import check_folder
from condseg_mmseg.utils.errors import UserError, user_errors
from condseg_mmseg.utils.files import write_json

from .demo_scene import Scene, SceneKnobs, make_scene
from .splits import SPLITS

# Raise the version whenever the same parameters give other pictures. The name is the one that
# older versions wrote: data sets that they made are recognised by it.
_GENERATOR = dict(name='make_demo_dataset.py', version=1)


def threshold_dice(scenes: Sequence[Scene]) -> np.ndarray:
    """Mean per-image Dice of every threshold on brightness.

    Args:
        scenes: At least one scene.

    Returns:
        (2, 257): row 0 calls the pixels with grey >= t foreground, row 1 those with grey < t,
        for t = 0..256.
    """
    total = np.zeros((2, 257))
    for scene in scenes:
        grey = cv2.cvtColor(scene.image, cv2.COLOR_RGB2GRAY)
        truth = scene.mask > 0
        hits = np.append(0, np.cumsum(np.bincount(grey[truth], minlength=256)))  # grey < t
        below = np.append(0, np.cumsum(np.bincount(grey.ravel(), minlength=256)))
        tp = np.stack([hits[-1] - hits, hits])
        predicted = np.stack([below[-1] - below, below])
        total += 2 * tp / np.maximum(predicted + truth.sum(), 1)
    return total / len(scenes)


def brightness_baseline(splits: Mapping[str, Sequence[Scene]]) -> dict[str, Any]:
    """Score the one threshold on brightness that is best on the training split.

    Args:
        splits: Scenes by split; 'train' must hold some, empty splits are left out.

    Returns:
        ``threshold``, ``foreground`` ('brighter' or 'darker') and ``mDice`` by split.
    """
    tables = {name: threshold_dice(scenes) for name, scenes in splits.items() if scenes}
    side, threshold = np.unravel_index(np.argmax(tables['train']), tables['train'].shape)
    scores = {name: round(float(table[side, threshold]), 4) for name, table in tables.items()}
    foreground = ('brighter', 'darker')[side]
    return dict(threshold=int(threshold), foreground=foreground, mDice=scores)


def _clear(out: Path, force: bool) -> None:
    """Make room in ``out``: only files that this module made go, and only with ``force``."""
    if not out.exists() or not any(out.iterdir()):
        return
    if not force:
        raise UserError(f'{out} is not empty: give another folder, or --force')
    maker = _read(out / 'dataset.json').get('generator')
    if not isinstance(maker, dict) or maker.get('name') != _GENERATOR['name']:
        raise UserError(
            f'{out} was not made by this tool (its dataset.json would say so): give another folder'
        )
    for folder in ('images', 'masks'):
        for split in SPLITS:
            for path in (out / folder).glob(f'{split}_[0-9]*.png'):
                path.unlink()


def _read(path: Path) -> dict[str, Any]:
    """Return the record of a data set, nothing where it is no such file."""
    try:
        found = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


@user_errors(OSError)
def make_demo_dataset(
    out: str | Path,
    knobs: SceneKnobs | None = None,
    seed: int = 0,
    counts: tuple[int, int, int] = (320, 64, 64),
    force: bool = False,
    reuse: bool = False,
) -> dict[str, Any]:
    """Make a data set on which a model can learn a rule that the test split breaks.

    In ``train`` and ``val`` small polyps come in groups and a large one comes alone; in ``test``
    this co-occurrence is broken (small ones alone, large ones in groups). The layout is that of
    Kvasir-SEG: ``images/``, ``masks/`` and one list of stems per split. ``dataset.json`` records
    the parameters, the objects of every image, and what the best threshold on brightness scores.

    Args:
        out: Folder to make.
        knobs: Look of the scenes. Default: that of ``SceneKnobs()``.
        seed: Seed, >= 0. Default 0.
        counts: Images of train (>= 1), val and test. Default 320, 64, 64.
        force: Replace a data set that this function made before. Default False.
        reuse: Leave ``out`` alone if the same parameters made it. Default False.

    Returns:
        The content of ``dataset.json``.

    Raises:
        UserError: ``out`` holds something that may not be replaced or cannot be written, or a
            number is out of range.
    """
    out, knobs = Path(out), knobs or SceneKnobs()
    check_folder('OUT', out)
    given = dict(zip(('seed', *(f'num-{split}' for split in SPLITS)), (seed, *counts), strict=True))
    for name, value in given.items():
        least = int(name == 'num-train')
        if value < least:
            raise UserError(f'--{name} must be >= {least}, got {value}')
    record: dict[str, Any] = dict(
        generator=_GENERATOR,
        seed=seed,
        counts=dict(zip(SPLITS, counts, strict=True)),
        knobs=json.loads(json.dumps(asdict(knobs))),  # tuples as JSON has them
    )
    target = out / 'dataset.json'
    old = _read(target) if reuse else {}
    if old.get('complete') and all(old.get(key) == value for key, value in record.items()):
        return old
    _clear(out, force)
    for folder in ('images', 'masks'):
        (out / folder).mkdir(parents=True, exist_ok=True)
    # Written first, so that an interrupted run is known as ours; `complete` is set at the end.
    write_json(target, record | dict(complete=False))
    splits: dict[str, list[Scene]] = {}
    images = {}
    for split, count in record['counts'].items():
        splits[split] = [make_scene(knobs, seed, split, index) for index in range(count)]
        stems = [f'{split}_{index:04d}' for index in range(count)]
        for stem, scene in zip(stems, splits[split], strict=True):
            for folder, picture in (('images', scene.image[..., ::-1]), ('masks', scene.mask)):
                data = cv2.imencode('.png', picture)[1].tobytes()
                (out / folder / f'{stem}.png').write_bytes(data)
            images[stem] = dict(kind=scene.kind, count=scene.count)
        (out / f'{split}.txt').write_text(''.join(f'{stem}\n' for stem in stems))
    record |= dict(complete=True, brightness_baseline=brightness_baseline(splits), images=images)
    write_json(target, record)
    return record
