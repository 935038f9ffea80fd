"""The demo generator: determinism, layout, the co-occurrence rule, the baseline, bad knobs."""

import dataclasses
import importlib
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / 'tools' / 'dataset_converters' / 'make_demo_dataset.py'
COUNTS = dict(train=24, val=6, test=24)
SIZE = 64


sys.path.insert(0, str(SCRIPT.parent))
demo = importlib.import_module('make_demo_dataset')
KNOBS = demo.SceneKnobs(size=SIZE)


@pytest.fixture(scope='module')
def dataset(tmp_path_factory):
    """A small data set made once."""
    out = tmp_path_factory.mktemp('demo') / 'set'
    demo.make_dataset(out, KNOBS, seed=3, counts=tuple(COUNTS.values()))
    return out


def _stems(root: Path, split: str) -> list[str]:
    return (root / f'{split}.txt').read_text().split()


def _pictures(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob('*.png'))}


def _component_areas(root: Path, stem: str) -> list[float]:
    mask = cv2.imread(str(root / 'masks' / f'{stem}.png'), cv2.IMREAD_UNCHANGED)
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    return [float(area) / mask.size for area in stats[1:, cv2.CC_STAT_AREA]]


def test_layout_and_counts(dataset):
    assert sorted(p.name for p in dataset.iterdir()) == sorted(
        ['images', 'masks', 'dataset.json', 'train.txt', 'val.txt', 'test.txt']
    )
    every = []
    for split, count in COUNTS.items():
        stems = _stems(dataset, split)
        assert len(stems) == count
        every += stems
    assert len(set(every)) == sum(COUNTS.values())
    for folder in ('images', 'masks'):
        assert sorted(p.stem for p in (dataset / folder).iterdir()) == sorted(every)


def test_masks_are_0_and_255_and_images_are_colour(dataset):
    for stem in _stems(dataset, 'val'):
        mask = cv2.imread(str(dataset / 'masks' / f'{stem}.png'), cv2.IMREAD_UNCHANGED)
        image = cv2.imread(str(dataset / 'images' / f'{stem}.png'), cv2.IMREAD_UNCHANGED)
        assert mask.shape == (SIZE, SIZE)
        assert image.shape == (SIZE, SIZE, 3)
        assert np.unique(mask).tolist() == [0, 255]
        blue, _, red = image.reshape(-1, 3).mean(0)  # written as BGR: mucosa is red
        assert red > 1.3 * blue


def test_same_seed_gives_the_same_bytes(dataset, tmp_path):
    demo.make_dataset(tmp_path / 'a', KNOBS, seed=3, counts=tuple(COUNTS.values()))
    assert _pictures(tmp_path / 'a') == _pictures(dataset)
    assert (tmp_path / 'a/dataset.json').read_bytes() == (dataset / 'dataset.json').read_bytes()


def test_another_seed_gives_other_pictures(dataset, tmp_path):
    demo.make_dataset(tmp_path / 'b', KNOBS, seed=4, counts=(4, 0, 0))
    mine = _pictures(dataset)
    assert all(mine[name] != data for name, data in _pictures(tmp_path / 'b').items())


def test_no_picture_comes_twice_not_even_in_another_split(dataset):
    images = [data for name, data in _pictures(dataset).items() if name.startswith('images')]
    assert len(set(images)) == len(images) == sum(COUNTS.values())


def test_an_image_depends_only_on_seed_split_and_index(dataset, tmp_path):
    demo.make_dataset(tmp_path / 'c', KNOBS, seed=3, counts=(5, 3, 2))
    mine, fewer = _pictures(dataset), _pictures(tmp_path / 'c')
    assert len(fewer) == 20
    assert all(mine[name] == data for name, data in fewer.items())


@pytest.mark.parametrize('split', COUNTS)
def test_cooccurrence_holds_in_training_and_is_broken_in_test(dataset, split):
    record = json.loads((dataset / 'dataset.json').read_text())['images']
    kinds = set()
    for stem in _stems(dataset, split):
        areas = _component_areas(dataset, stem)
        small = max(areas) < 0.035  # radii: at most 0.08, at least 0.15
        assert (min(areas) < 0.035) == small, f'{stem} mixes sizes'
        assert (len(areas) > 1) == (small if split != 'test' else not small), stem
        low, high = KNOBS.small_group if small else KNOBS.large_group
        assert len(areas) == 1 or low <= len(areas) <= high
        assert record[stem] == dict(kind='small' if small else 'large', count=len(areas))
        kinds.add(small)
    assert kinds == {True, False}


def test_baseline_equals_brute_force(dataset):
    def dice(predicted, truth):
        total = predicted.sum() + truth.sum()
        return 2.0 * (predicted & truth).sum() / total

    def load(split):
        for stem in _stems(dataset, split):
            grey = cv2.cvtColor(
                cv2.imread(str(dataset / 'images' / f'{stem}.png')), cv2.COLOR_BGR2GRAY
            )
            yield grey, cv2.imread(str(dataset / 'masks' / f'{stem}.png'), 0) == 255

    train = list(load('train'))
    best = max(
        (np.mean([dice((g >= t) if up else (g < t), y) for g, y in train]), up, t)
        for t in range(257)
        for up in (True, False)
    )
    found = json.loads((dataset / 'dataset.json').read_text())['brightness_baseline']
    assert found['mDice']['train'] == pytest.approx(best[0], abs=1e-4)
    up, t = found['foreground'] == 'brighter', found['threshold']
    for split in COUNTS:
        mine = np.mean([dice((g >= t) if up else (g < t), y) for g, y in load(split)])
        assert found['mDice'][split] == pytest.approx(mine, abs=1e-4)
        assert mine < 0.5, 'the default difficulty is trivial'


@pytest.mark.parametrize(('side', 'brighter'), [('brighter', True), ('darker', False)])
def test_baseline_of_a_separable_scene_is_perfect(side, brighter):
    truth = np.zeros((8, 8), bool)
    truth[2:5, 3:6] = True
    image = np.where((truth == brighter)[..., None], 200, 90).astype(np.uint8).repeat(3, 2)
    scene = demo.Scene(image, truth.astype(np.uint8) * 255, 'small', 1)
    found = demo.brightness_baseline(dict(train=[scene], val=[], test=[scene]))
    assert found['foreground'] == side
    assert 90 < found['threshold'] <= 200
    assert found['mDice'] == dict(train=1.0, test=1.0)


def _mean_over(value, knobs, indices=range(8)):
    return np.mean([value(demo.make_scene(knobs, 0, 'train', i)) for i in indices])


def _rim_slope(scene):
    red = cv2.GaussianBlur(scene.image[..., 1].astype(np.float32), (0, 0), 1)
    slope = np.hypot(*np.gradient(red))
    rim = cv2.morphologyEx(scene.mask, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    return slope[rim].mean()


def _hue_gap(scene):
    ratio = scene.image[..., 1] / (scene.image[..., 0] + 1.0)
    return ratio[scene.mask == 0].mean() - ratio[scene.mask > 0].mean()


def _centre_minus_edge(scene):
    grey = scene.image.mean(2)
    return grey[24:40, 24:40].mean() - grey[24:40, :6].mean()


def _relief(scene):
    grey = cv2.GaussianBlur(scene.image.astype(np.float32).mean(2), (0, 0), 1.5)
    return np.hypot(*np.gradient(grey))[12:-12, 12:-12].mean()


@pytest.mark.parametrize(
    ('name', 'low', 'high', 'value'),
    [
        ('highlights', 0.0, 40.0, lambda s: (s.image.min(2) > 200).mean()),
        ('illumination', 0.0, 1.0, _centre_minus_edge),
        ('contrast', 0.0, 2.0, _hue_gap),
        ('softness', 1.0, 0.0, _rim_slope),
        ('noise', 0.0, 0.1, lambda s: np.abs(np.diff(s.image.astype(float), axis=0)).mean()),
        ('folds', 0.0, 12.0, _relief),
    ],
)
def test_knob_turns_what_it_names(name, low, high, value):
    quiet = dataclasses.replace(KNOBS, contrast=3.0, noise=0.0, highlights=0.0)
    means = [_mean_over(value, dataclasses.replace(quiet, **{name: x})) for x in (low, high)]
    assert means[1] > means[0] + 0.05 * abs(means[0])


@pytest.mark.parametrize(
    ('name', 'value'),
    [
        ('size', 8),
        ('softness', -0.1),
        ('contrast', float('nan')),
        ('small_radius', (0.2, 0.1)),
        ('small_radius', (0.1, 0.9)),
        ('large_group', (2,)),
    ],
)
def test_bad_knob_is_a_value_error_naming_the_argument(name, value):
    with pytest.raises(ValueError, match='--' + name.replace('_', '-')):
        demo.SceneKnobs(**{name: value})


def test_bad_split_is_named():
    with pytest.raises(ValueError, match="'tset'"):
        demo.make_scene(KNOBS, 0, 'tset', 0)


def test_objects_that_do_not_fit_are_an_error():
    crowded = demo.SceneKnobs(size=SIZE, small_share=0.0, large_radius=(0.3, 0.4))
    with pytest.raises(ValueError, match=r'do not fit.*--large-radius'):
        demo.make_scene(crowded, 0, 'test', 0)


def _run(*args):
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, args)], capture_output=True, text=True
    )


def test_command_line_refuses_force_and_reuse(tmp_path):
    out = tmp_path / 'set'
    few = ['--size', 48, '--num-train', 2, '--num-val', 1, '--num-test', 0]
    first = _run(out, *few)
    assert first.returncode == 0, first.stderr
    assert 'best threshold on brightness' in first.stdout
    before = _pictures(out)

    again = _run(out, *few)
    assert again.returncode == 2
    assert '--force' in again.stderr
    assert _run(out, *few, '--reuse').returncode == 0
    assert _run(out, *few, '--reuse', '--seed', 1).returncode == 2
    assert _pictures(out) == before

    (out / 'images' / 'mine.png').write_bytes(b'kept')
    forced = _run(out, *few, '--force', '--seed', 1, '--num-train', 1)
    assert forced.returncode == 0, forced.stderr
    after = _pictures(out)
    assert after.pop('images/mine.png') == b'kept'
    assert len(after) == 4
    assert after['images/train_0000.png'] != before['images/train_0000.png']


def test_force_leaves_a_foreign_folder_alone(tmp_path):
    (tmp_path / 'images').mkdir()
    (tmp_path / 'images' / 'train_0000.png').write_bytes(b'somebody else')
    result = _run(tmp_path, '--force', '--num-train', 1)
    assert result.returncode == 2
    assert 'not made by this tool' in result.stderr
    assert (tmp_path / 'images' / 'train_0000.png').read_bytes() == b'somebody else'


@pytest.mark.parametrize(
    'args', [['--size', '8'], ['--large-radius', '0.3', '0.2'], ['--num-train', '0']]
)
def test_command_line_names_the_bad_argument(tmp_path, args):
    result = _run(tmp_path / 'set', *args)
    assert result.returncode == 2
    assert args[0] in result.stderr
    assert 'Traceback' not in result.stderr
    assert not (tmp_path / 'set').exists()
