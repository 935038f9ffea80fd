"""Make a seeded data set of endoscopy-like scenes with soft-edged polyps.

In ``train`` and ``val`` small polyps come in groups and a large one comes alone; in ``test`` this
co-occurrence is broken (small ones alone, large ones in groups). The layout is that of
Kvasir-SEG: ``images/``, ``masks/`` and one list of stems per split. ``dataset.json`` records the
parameters, the objects of every image, and what the best threshold on brightness scores.

Example:
    python tools/dataset_converters/make_demo_dataset.py data/demo --seed 0
"""

import argparse
import dataclasses
import json
import sys
from pathlib import Path

import cv2
import numpy as np
from demo_scene import SPLITS, Scene, SceneKnobs, make_scene, option

VERSION = 1  # raise it whenever the same parameters give other pictures


def threshold_dice(scenes: list[Scene]) -> np.ndarray:
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


def brightness_baseline(splits: dict[str, list[Scene]]) -> dict:
    """Score the one threshold on brightness that is best on the training split.

    Args:
        splits: Scenes by split; 'train' must hold some, empty splits are left out.

    Returns:
        ``threshold``, ``foreground`` ('brighter' or 'darker') and ``mDice`` by split.
    """
    train = threshold_dice(splits['train'])
    side, threshold = np.unravel_index(np.argmax(train), train.shape)
    scores = {
        name: train if name == 'train' else threshold_dice(scenes)
        for name, scenes in splits.items()
        if scenes
    }
    return dict(
        threshold=int(threshold),
        foreground=('brighter', 'darker')[side],
        mDice={name: round(float(table[side, threshold]), 4) for name, table in scores.items()},
    )


def _clear(out: Path, force: bool) -> None:
    """Make room in ``out``: only files that this tool made go, and only with ``force``."""
    if not out.exists() or not any(out.iterdir()):
        return
    record = out / 'dataset.json'
    if not force:
        raise FileExistsError(f'{out} is not empty: give another folder, or --force')
    if not record.is_file() or 'generator' not in json.loads(record.read_text()):
        raise FileExistsError(f'{out} was not made by this tool (no dataset.json): not overwritten')
    for folder in ('images', 'masks'):
        for split in SPLITS:
            for path in (out / folder).glob(f'{split}_[0-9]*.png'):
                path.unlink()


def make_dataset(
    out: Path,
    knobs: SceneKnobs,
    seed: int = 0,
    counts: tuple[int, int, int] = (320, 64, 64),
    force: bool = False,
    reuse: bool = False,
) -> dict:
    """Write the data set.

    Args:
        out: Folder to make.
        knobs: Look of the scenes.
        seed: Seed, >= 0.
        counts: Images of train (>= 1), val and test.
        force: Replace a data set that this tool made before.
        reuse: Leave ``out`` alone if the same parameters made it.

    Returns:
        The content of ``dataset.json``.

    Raises:
        FileExistsError: If ``out`` holds something that may not be replaced.
    """
    record = dict(
        generator=dict(name=Path(__file__).name, version=VERSION),
        seed=seed,
        counts=dict(zip(SPLITS, counts, strict=True)),
        knobs=json.loads(json.dumps(dataclasses.asdict(knobs))),  # tuples as JSON has them
    )
    target = out / 'dataset.json'
    if reuse and target.is_file():
        old = json.loads(target.read_text())
        if old.get('complete') and all(old.get(key) == value for key, value in record.items()):
            return old
    _clear(out, force)
    for folder in ('images', 'masks'):
        (out / folder).mkdir(parents=True, exist_ok=True)
    # Written first, so that an interrupted run is known as ours; `complete` is set at the end.
    target.write_text(json.dumps(record | dict(complete=False)))
    splits: dict[str, list[Scene]] = {}
    images = {}
    for split, count in record['counts'].items():
        splits[split] = [make_scene(knobs, seed, split, index) for index in range(count)]
        stems = [f'{split}_{index:04d}' for index in range(count)]
        for stem, scene in zip(stems, splits[split], strict=True):
            cv2.imwrite(str(out / 'images' / f'{stem}.png'), scene.image[..., ::-1])
            cv2.imwrite(str(out / 'masks' / f'{stem}.png'), scene.mask)
            images[stem] = dict(kind=scene.kind, count=scene.count)
        (out / f'{split}.txt').write_text(''.join(f'{stem}\n' for stem in stems))
    record |= dict(complete=True, brightness_baseline=brightness_baseline(splits), images=images)
    target.write_text(json.dumps(record, indent=1) + '\n')
    return record


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line; every knob of `SceneKnobs` is an argument."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('out', type=Path, metavar='OUT', help='folder to make')
    parser.add_argument('--seed', type=int, default=0, help='>= 0 (default: 0)')
    for split, count in zip(SPLITS, (320, 64, 64), strict=True):
        parser.add_argument(f'--num-{split}', type=int, default=count, help=f'default: {count}')
    parser.add_argument('--force', action='store_true', help='replace a set made by this tool')
    parser.add_argument(
        '--reuse', action='store_true', help='do nothing if the same parameters made OUT'
    )
    look = parser.add_argument_group('scene')
    for field in dataclasses.fields(SceneKnobs):
        pair = isinstance(field.default, tuple)
        kind = type(field.default[0] if pair else field.default)
        extra = dict(nargs=2, metavar=('LOW', 'HIGH')) if pair else {}
        text = f'{field.metadata["help"]} (default: {field.default})'
        look.add_argument(option(field.name), type=kind, default=field.default, help=text, **extra)
    args = parser.parse_args(argv)
    for name, least in dict(seed=0, num_train=1, num_val=0, num_test=0).items():
        if getattr(args, name) < least:
            parser.error(f'{option(name)} must be >= {least}, got {getattr(args, name)}')
    try:
        values = {f.name: getattr(args, f.name) for f in dataclasses.fields(SceneKnobs)}
        args.knobs = SceneKnobs(
            **{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        )
    except ValueError as error:
        parser.error(str(error))
    return args


def main(argv: list[str] | None = None) -> int:
    """Command line."""
    args = parse_args(argv)
    counts = (args.num_train, args.num_val, args.num_test)
    try:
        record = make_dataset(args.out, args.knobs, args.seed, counts, args.force, args.reuse)
    except (OSError, ValueError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    base = record['brightness_baseline']
    print(f'{args.out}: ' + ', '.join(f'{n} {split}' for split, n in record['counts'].items()))
    print(
        f'best threshold on brightness ({base["foreground"]}, {base["threshold"]}), mean Dice: '
        + ', '.join(f'{split} {score:.3f}' for split, score in base['mDice'].items())
    )
    return 0


if __name__ == '__main__':
    sys.exit(main())
