"""The generated data set: determinism, layout, co-occurrence, baseline, bad knobs."""

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from condseg_mmseg.cli import main
from condseg_mmseg.preparation import SceneKnobs, demo_dataset, make_demo_dataset
from condseg_mmseg.preparation.demo_scene import Scene, make_scene
from condseg_mmseg.utils.errors import UserError

COUNTS = dict(train=24, val=6, test=24)
SIZE = 64
KNOBS = SceneKnobs(size=SIZE)


@pytest.fixture(scope='module')
def dataset(tmp_path_factory):
    """A small data set made once."""
    out = tmp_path_factory.mktemp('demo') / 'set'
    make_demo_dataset(out, KNOBS, seed=3, counts=tuple(COUNTS.values()))
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


def test_a_picture_depends_on_seed_split_and_index_alone(dataset, tmp_path):
    mine = _pictures(dataset)
    make_demo_dataset(tmp_path / 'same', KNOBS, seed=3, counts=tuple(COUNTS.values()))
    assert _pictures(tmp_path / 'same') == mine
    record = (tmp_path / 'same' / 'dataset.json').read_bytes()
    assert record == (dataset / 'dataset.json').read_bytes()
    make_demo_dataset(tmp_path / 'fewer', KNOBS, seed=3, counts=(5, 3, 2))
    fewer = _pictures(tmp_path / 'fewer')
    assert len(fewer) == 20
    assert all(mine[name] == data for name, data in fewer.items())
    make_demo_dataset(tmp_path / 'other', KNOBS, seed=4, counts=(4, 0, 0))
    assert all(mine[name] != data for name, data in _pictures(tmp_path / 'other').items())
    images = {data for name, data in mine.items() if name.startswith('images')}
    assert len(images) == sum(COUNTS.values())  # none comes twice


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
    scene = Scene(image, truth.astype(np.uint8) * 255, 'small', 1)
    found = demo_dataset.brightness_baseline(dict(train=[scene], val=[], test=[scene]))
    assert found['foreground'] == side
    assert 90 < found['threshold'] <= 200
    assert found['mDice'] == dict(train=1.0, test=1.0)


def _mean_over(value, knobs, indices=range(8)):
    return np.mean([value(make_scene(knobs, 0, 'train', i)) for i in indices])


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
    with pytest.raises(UserError, match='--' + name.replace('_', '-')):
        SceneKnobs(**{name: value})


def test_bad_split_is_named():
    with pytest.raises(UserError, match="'tset'"):
        make_scene(KNOBS, 0, 'tset', 0)


def test_objects_that_do_not_fit_are_an_error():
    crowded = SceneKnobs(size=SIZE, small_share=0.0, large_radius=(0.3, 0.4))
    with pytest.raises(UserError, match=r'do not fit.*--large-radius'):
        make_scene(crowded, 0, 'test', 0)


def test_force_and_reuse(tmp_path):
    out = tmp_path / 'set'
    few = dict(knobs=SceneKnobs(size=48), counts=(2, 1, 0))
    record = make_demo_dataset(out, **few)
    before = _pictures(out)

    with pytest.raises(UserError, match='--force'):
        make_demo_dataset(out, **few)
    assert make_demo_dataset(out, **few, reuse=True) == record
    with pytest.raises(UserError, match='--force'):
        make_demo_dataset(out, **few, reuse=True, seed=1)
    assert _pictures(out) == before

    (out / 'images' / 'mine.png').write_bytes(b'kept')
    make_demo_dataset(out, few['knobs'], seed=1, counts=(1, 1, 0), force=True)
    after = _pictures(out)
    assert after.pop('images/mine.png') == b'kept'
    assert len(after) == 4
    assert after['images/train_0000.png'] != before['images/train_0000.png']


def test_a_data_set_of_an_older_version_is_recognised(tmp_path):
    """Its ``dataset.json`` names the script that made it and has another indentation."""
    few = dict(knobs=SceneKnobs(size=48), counts=(1, 0, 0))
    record = make_demo_dataset(tmp_path, **few)
    assert record['generator'] == dict(name='make_demo_dataset.py', version=1)
    (tmp_path / 'dataset.json').write_text(json.dumps(record, indent=1) + '\n')
    stamp = (tmp_path / 'images' / 'train_0000.png').stat().st_mtime_ns
    assert make_demo_dataset(tmp_path, **few, reuse=True, force=True) == record
    assert (tmp_path / 'images' / 'train_0000.png').stat().st_mtime_ns == stamp


def test_force_leaves_a_foreign_folder_alone(tmp_path):
    (tmp_path / 'images').mkdir()
    (tmp_path / 'images' / 'train_0000.png').write_bytes(b'somebody else')
    prepared = json.dumps(dict(generator=dict(name='prepare.py', version=1)))
    for content in (None, 'no JSON', '[]', prepared):
        if content is not None:
            (tmp_path / 'dataset.json').write_text(content)
        with pytest.raises(UserError, match='not made by this tool'):
            make_demo_dataset(tmp_path, force=True, counts=(1, 0, 0))
    assert (tmp_path / 'images' / 'train_0000.png').read_bytes() == b'somebody else'


def test_the_command(tmp_path, capsys):
    few = ['--size', '48', '--num-train', '2', '--num-val', '1', '--num-test', '0']
    assert main(['prepare', 'demo', str(tmp_path / 'set'), *few, '--small-group', '2', '3']) == 0
    out = capsys.readouterr().out
    assert 'set: 2 train, 1 val, 0 test\n' in out
    assert 'best threshold on brightness' in out
    record = json.loads((tmp_path / 'set' / 'dataset.json').read_text())
    assert (record['knobs']['size'], record['knobs']['small_group']) == (48, [2, 3])
    below = tmp_path / 'set' / 'train.txt' / 'x'
    assert main(['prepare', 'demo', str(below), *few]) == 2
    assert 'train.txt is no writable folder' in capsys.readouterr().err
    assert main(['prepare', 'demo', str(tmp_path / 'none'), '--num-train', '0']) == 2
    assert 'error: --num-train must be >= 1, got 0' in capsys.readouterr().err
    assert not (tmp_path / 'none').exists()
