"""The data doctor: which files belong together, in folders and in configs; how masks are read."""

import importlib
import json
import sys
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers import blob

from condseg_mmseg.datasets import BinaryMedicalDataset
from condseg_mmseg.datasets.load_binary_mask import binarize

TOOLS = Path(__file__).parents[2] / 'tools' / 'dataset_converters'
sys.path.insert(0, str(TOOLS))
check = importlib.import_module('check')
configs = importlib.import_module('_check.configs')
masks = importlib.import_module('_check.masks')
sources = importlib.import_module('_check.sources')


def write(path: Path, seed: int = 0, mask: np.ndarray | None = None) -> None:
    """Write an image that resembles no other, or a mask."""
    path.parent.mkdir(parents=True, exist_ok=True)
    grid = np.random.default_rng(seed).integers(20, 236, (9, 12, 3)).astype(np.uint8)
    picture = cv2.resize(grid, (53, 37), interpolation=cv2.INTER_CUBIC) if mask is None else mask
    assert cv2.imwrite(str(path), picture)


def data(root: Path, *names: str, first: int = 0, value: int = 255) -> None:
    """Write images/ and masks/."""
    for seed, name in enumerate(names, first):
        write(root / 'images' / f'{name}.png', seed)
        write(root / 'masks' / f'{name}.png', mask=blob() // 255 * value)


def lists(root: Path, **names: str) -> None:
    for name, text in names.items():
        (root / f'{name}.txt').write_text(text.replace(' ', '\n'))


def run(tmp_path: Path, *argv) -> tuple[dict, dict, int]:
    """Run the tool; returns the splits by name, the number of findings by kind, and the status."""
    out = tmp_path / 'record.json'
    status = check.main([*map(str, argv), '--json', str(out), '--workers', '1'])
    record = json.loads(out.read_text())
    splits = {split['name']: split for source in record['data_sets'] for split in source['splits']}
    return splits, dict(Counter(f['kind'] for f in record['findings'])), status


@pytest.mark.parametrize(
    ('name', 'role'),
    [
        ('train', 'train'), ('Train_1', 'train'), ('isic-training', 'train'), ('val', 'val'),
        ('validation', 'val'), ('dev', 'val'), ('testA', 'test'), ('kvasir_test', 'test'),
        ('trainval', 'other'), ('train_test', 'other'), ('names', 'other'), ('latest', 'other'),
    ],
)  # fmt: skip
def test_roles(name, role):
    assert sources.role_of(name) == role


def test_folder_without_lists_is_one_split(tmp_path):
    data(tmp_path / 'set', 'a', 'b')
    write(tmp_path / 'set' / 'masks' / 'c.png', mask=blob())
    splits, kinds, status = run(tmp_path, tmp_path / 'set')
    assert {name: split['pairs'] for name, split in splits.items()} == {'set/all': 2}
    assert (kinds, status) == ({'lone-mask': 1}, 1)


def test_sub_folders_named_after_uses_are_splits(tmp_path):
    data(tmp_path / 'set', 'train/a', 'train/b', 'val/a')
    splits, kinds, _ = run(tmp_path, tmp_path / 'set')
    assert {name: split['role'] for name, split in splits.items()} == {
        'set/train': 'train', 'set/val': 'val'
    }  # fmt: skip
    assert kinds == {'same-name': 1}  # a is there twice, as two pictures


def test_other_sub_folders_are_not(tmp_path):
    data(tmp_path / 'set', 'patient1/a', 'patient2/b')
    assert list(run(tmp_path, tmp_path / 'set')[0]) == ['set/all']


def test_folder_options_and_raw_layout(tmp_path):
    for name in ('x', 'y'):
        write(tmp_path / 'set' / 'in' / f'{name}_img.png', seed=ord(name))
        write(tmp_path / 'set' / 'gt' / f'{name}_m.png', mask=blob())
        write(tmp_path / 'flat' / f'{name}.png', seed=ord(name))
        write(tmp_path / 'flat' / f'{name}_anno.png', mask=blob())
    options = '--img-dir in --mask-dir gt --img-suffix _img --seg-map-suffix _m'.split()
    splits, kinds, status = run(tmp_path, tmp_path / 'set', *options)
    assert (splits['set/all']['pairs'], kinds, status) == (2, {}, 0)
    splits, kinds, _ = run(tmp_path, tmp_path / 'flat', '--seg-map-suffix', '_anno')
    assert (splits['flat/all']['pairs'], kinds) == (2, {})
    _, kinds, status = run(tmp_path, tmp_path / 'flat')
    assert (kinds['same-file'], status) == (4, 3)


def test_missing_folders_are_findings_and_the_rest_is_looked_at(tmp_path):
    data(tmp_path / 'set', 'a')
    (tmp_path / 'set' / 'images' / 'a.png').write_bytes(b'')
    _, kinds, status = run(tmp_path, tmp_path / 'set', '--mask-dir', 'nowhere')
    assert (kinds, status) == ({'list': 1, 'unreadable': 1}, 3)
    (tmp_path / 'empty' / 'images').mkdir(parents=True)
    (tmp_path / 'empty' / 'masks').mkdir()
    assert run(tmp_path, tmp_path / 'empty')[1:] == ({'list': 1}, 3)


def test_broken_lists(tmp_path):
    data(tmp_path / 'set', 'a', 'b')
    lists(tmp_path / 'set', train='a b')
    (tmp_path / 'set' / 'val.txt').write_bytes(b'\xff\xfe\x00a')
    _, kinds, status = run(tmp_path, tmp_path / 'set')
    assert (kinds, status) == ({'list': 1}, 3)


def test_a_further_list_by_its_use(tmp_path):
    """Of unknown use it overlaps; as a test list it leaks; as a list of everything it is fine."""
    data(tmp_path / 'set', 'a', 'b', 'c')
    lists(tmp_path / 'set', train='a b', val='c')
    lists(tmp_path, names='a', everything='a b c')
    for option, kind, status in (
        (f'{tmp_path}/names.txt', 'overlap', 1),
        (f'test={tmp_path}/names.txt', 'leakage', 3),
    ):
        assert run(tmp_path, tmp_path / 'set', '--list', option)[1:] == ({kind: 1}, status)
    everything = run(tmp_path, tmp_path / 'set', '--list', tmp_path / 'everything.txt')
    assert everything[1:] == ({'shared': 3}, 0)


def test_leakage_across_data_sets(tmp_path):
    """The same pictures in other files; the same names with other pictures are only told."""
    data(tmp_path / 'big', 'a', 'b', 'c')
    lists(tmp_path / 'big', train='a b', val='c')
    data(tmp_path / 'small', 'a', 'new', first=0)
    data(tmp_path / 'small', 'b', first=100)
    (tmp_path / 'small' / 'images' / 'new.png').write_bytes(
        (tmp_path / 'big' / 'images' / 'c.png').read_bytes()
    )
    lists(tmp_path / 'small', train='new', test='a b')
    _, kinds, status = run(tmp_path, tmp_path / 'big', tmp_path / 'small')
    # a: training of big, test of small; new = c: training of small, validation of big
    assert (kinds, status) == ({'leakage': 2, 'same-name': 1}, 3)


def test_data_sets_of_one_name_are_told_apart(tmp_path):
    for parent in ('x', 'y'):
        data(tmp_path / parent / 'set', 'a')
        lists(tmp_path / parent / 'set', train='a')
    splits, kinds, status = run(tmp_path, tmp_path / 'x' / 'set', tmp_path / 'y' / 'set')
    assert list(splits) == ['set/train', 'set#2/train']
    assert (kinds, status) == ({'shared': 1}, 0)


CONFIG = """
custom_imports = dict(imports=['condseg_mmseg'], allow_failed_imports=False)
load = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]
train = dict(type='BinaryMedicalDataset', data_root='{root}', ann_file='train.txt',
             pipeline=[*load, dict(type='LoadBinaryMask', {binarize})])
val = dict(type='BinaryMedicalDataset', data_root='{root}', ann_file='val.txt', test_mode=True,
           pipeline=[*load, dict(type='TestTimeAug', transforms=[[dict(type='LoadBinaryMask')]])])
plain = dict(type='BaseSegDataset', data_root='{root}', img_suffix='.png', ann_file='train.txt',
             data_prefix=dict(img_path='images', seg_map_path='masks'),
             metainfo=dict(classes=('a', 'b')), pipeline=load)
"""


def config(tmp_path: Path, loaders: str, binarize: str = '') -> Path:
    data(tmp_path / 'set', 'a', 'b', 'c')
    lists(tmp_path / 'set', train='a b', val='c')
    path = tmp_path / 'config.py'
    path.write_text(CONFIG.format(root=tmp_path / 'set', binarize=binarize) + loaders)
    return path


def test_config_names_its_splits_and_rules(tmp_path):
    loaders = 'train_dataloader = dict(dataset=train)\nval_dataloader = dict(dataset=val)\n'
    loaders += 'test_dataloader = val_dataloader\n'
    path = config(tmp_path, loaders, "mode='threshold', threshold=99")
    splits, kinds, status = run(tmp_path, path)
    assert {name: (s['pairs'], s['mask_rule'], s['role']) for name, s in splits.items()} == {
        'config/train': (2, 'foreground > 99 (config)', 'train'),
        'config/val+test': (1, '0/1 or 0/255, each by itself (config)', 'val'),
    }
    assert (kinds, status) == ({'same-list': 1}, 0)


def test_config_with_wrappers(tmp_path):
    loaders = """
second = dict(type='BinaryMedicalDataset', data_root=train['data_root'], indices=1,
              pipeline=train['pipeline'])
train_dataloader = dict(dataset=dict(type='RepeatDataset', times=2, dataset=dict(
    type='ConcatDataset', datasets=[train, second])))
val_dataloader = dict(dataset=val)
test_dataloader = None
"""
    splits, kinds, _ = run(tmp_path, config(tmp_path, loaders))
    assert {name: s['pairs'] for name, s in splits.items()} == {
        'config/train': 2, 'config/train[1]': 1, 'config/val': 1
    }  # fmt: skip
    assert kinds == {'shared': 1}


def test_config_that_trains_on_its_validation_images(tmp_path):
    loaders = 'train_dataloader = dict(dataset=val)\nval_dataloader = dict(dataset=val)\n'
    _, kinds, status = run(tmp_path, config(tmp_path, loaders))
    assert (kinds['leakage'], status) == (1, 3)


def test_options_change_the_config(tmp_path):
    path = config(tmp_path, 'train_dataloader = dict(dataset=train)\n')
    option = 'train_dataloader.dataset.ann_file=val.txt'
    splits, _, _ = run(tmp_path, path, '--cfg-options', option)
    assert splits['config/train']['pairs'] == 1


def test_a_relative_root_is_looked_for_in_the_repository(tmp_path, monkeypatch):
    path = config(tmp_path, 'train_dataloader = dict(dataset=train)\n')
    path.write_text(path.read_text().replace(str(tmp_path / 'set'), 'set'))
    monkeypatch.setattr(configs, 'ROOT', tmp_path)
    (tmp_path / 'elsewhere').mkdir()
    monkeypatch.chdir(tmp_path / 'elsewhere')
    assert run(tmp_path, path)[0]['config/train']['images'] == 2


@pytest.mark.parametrize(
    ('value', 'binarize', 'wrong'),
    [
        (1, "mode='threshold'", 2), (255, "mode='threshold'", 0), (7, "mode='threshold'", 2),
        (1, '', 0), (255, '', 0), (7, '', 2), (1, "mode='nonzero'", 0), (7, "mode='nonzero'", 0),
    ],
)  # fmt: skip
def test_masks_must_fit_the_pipeline(tmp_path, value, binarize, wrong):
    path = config(tmp_path, 'train_dataloader = dict(dataset=train)\n', binarize)
    data(tmp_path / 'set', 'a', 'b', value=value)
    _, kinds, status = run(tmp_path, path)
    assert (kinds.get('mask-values', 0), status) == (wrong, 3 if wrong else 0)


def test_a_config_with_the_former_name_and_its_default(tmp_path):
    path = config(tmp_path, 'train_dataloader = dict(dataset=train)\n')
    path.write_text(path.read_text().replace('LoadBinaryMask', 'BinarizeMask'))
    rule = run(tmp_path, path)[0]['config/train']['mask_rule']
    assert rule == 'foreground > 127 (config)'


@pytest.mark.parametrize(('value', 'wrong'), [(255, 2), (1, 0), (2, 2)])
def test_masks_must_be_classes_without_binarize(tmp_path, value, wrong):
    """0/255 masks would be background and ignored pixels: mmseg trains on that in silence."""
    path = config(tmp_path, 'train_dataloader = dict(dataset=plain)\n')
    data(tmp_path / 'set', 'a', 'b', value=value)
    splits, kinds, _ = run(tmp_path, path)
    assert splits['config/train']['mask_rule'] == 'values are classes (config)'
    assert kinds.get('mask-values', 0) == wrong


def test_config_without_data_sets_exits_with_2(tmp_path, capsys):
    for text, message in (
        ('a = 1\n', 'none of its dataloaders'),
        ('a = = 1\n', 'cannot be read as a config'),
        ("train_dataloader = dict(dataset=dict(type='Nope'))\n", "'Nope' is not registered"),
    ):
        (tmp_path / 'c.py').write_text(text)
        assert check.main([str(tmp_path / 'c.py')]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize('ann_file', ['train.txt', ''])
def test_pairs_are_those_of_the_data_set(tmp_path, ann_file):
    """The doctor and ``BinaryMedicalDataset`` agree on which files belong together."""
    data(tmp_path / 'set', 'a', 'sub/b', 'c')
    lists(tmp_path / 'set', train='a sub/b.png')
    dataset = BinaryMedicalDataset(data_root=str(tmp_path / 'set'), ann_file=ann_file)
    expected = [(info['img_path'], info['seg_map_path']) for info in map(dict, dataset)]
    if not ann_file:
        (tmp_path / 'set' / 'train.txt').unlink()
    out = tmp_path / 'record.json'
    check.main([str(tmp_path / 'set'), '--json', str(out)])
    found = [(row['image'], row['mask']) for row in json.loads(out.read_text())['images']]
    assert found == expected


def _files() -> dict[str, np.ndarray]:
    """Masks as files hold them."""
    noisy = cv2.imdecode(cv2.imencode('.jpg', np.stack([blob()] * 3, 2))[1], 1)
    labels = blob() // 255 * 3
    labels[:, 22:] //= 3
    colour = np.zeros((37, 53, 3), np.uint8)
    colour[blob() > 0] = (0, 0, 200)
    alpha = np.stack([blob(), np.full((37, 53), 255, np.uint8)], 2)
    return dict(
        binary=blob(), ones=blob() // 255, noisy=noisy, labels=labels, colour=colour, alpha=alpha,
        empty=0 * blob(), full=0 * blob() + 255,
    )  # fmt: skip


@pytest.mark.parametrize('name', _files())
@pytest.mark.parametrize(
    'settings',
    [dict(mode='threshold'), dict(mode='threshold', threshold=60), dict(mode='nonzero'), dict(),
     dict(mode='nonzero', ignore_index=3), dict(mode='threshold', ignore_index=1)],
)  # fmt: skip
def test_masks_are_cut_as_the_transform_does(name, settings):
    mask = _files()[name]
    rule = masks.MaskRule(
        settings.get('mode', 'auto'), settings.get('threshold', 127),
        settings.get('ignore_index'),
    )  # fmt: skip
    classes, reason = masks.foreground(mask, rule)
    refused, expected = '', None
    try:
        expected = binarize(mask, **settings)
    except ValueError as error:
        refused = str(error)
    assert bool(refused) <= bool(reason)
    assert reason[:40] in refused or not refused
    if not refused:
        assert classes.dtype == np.uint8
        assert np.array_equal(classes, expected)


def test_encodings():
    found = {name: masks.encoding(mask) for name, mask in _files().items()}
    assert found == dict(
        binary='0/255', ones='0/1', noisy='0/255 noisy', labels='labels', colour='labels',
        alpha='0/255', empty='empty', full='0/255',
    )  # fmt: skip
    noise = np.random.default_rng(0).integers(0, 212, (37, 53)).astype(np.uint8)
    assert masks.encoding(noise) == 'grey'


def test_content_of_a_mask():
    classes = np.zeros((10, 20), np.uint8)
    classes[2:6, 3:8] = 1  # 20 pixels
    classes[6, 8] = 1  # touches it at a corner: the same object
    classes[0, 19] = 1
    classes[9] = 255
    content = masks.content(classes, tiny=0.01)
    assert content.share == pytest.approx(22 / 180)
    assert content.border == pytest.approx(1 / 36)  # 56 on the rim, 20 of them ignored
    assert (content.areas, content.objects) == ((21, 1), 1)
    assert (content.tiny, content.specks) == (1, ((1, 19, 0),))
    assert content.kind is None
    assert masks.content(classes, tiny=0.5).objects == 2  # nothing but specks: they count
