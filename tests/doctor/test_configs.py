"""The data doctor: the data sets of a config, and how its pipeline reads masks."""

from pathlib import Path

import pytest
from doctor.samples import data, lists, summary

from condseg_mmseg.doctor import check_dataset
from condseg_mmseg.utils.errors import UserError

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
    splits, kinds, status = summary(path)
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
    splits, kinds, _ = summary(config(tmp_path, loaders))
    assert {name: s['pairs'] for name, s in splits.items()} == {
        'config/train': 2, 'config/train[1]': 1, 'config/val': 1
    }  # fmt: skip
    assert kinds == {'shared': 1}


def test_config_that_trains_on_its_validation_images(tmp_path):
    loaders = 'train_dataloader = dict(dataset=val)\nval_dataloader = dict(dataset=val)\n'
    _, kinds, status = summary(config(tmp_path, loaders))
    assert (kinds['leakage'], status) == (1, 3)


def test_options_change_the_config(tmp_path):
    path = config(tmp_path, 'train_dataloader = dict(dataset=train)\n')
    splits, _, _ = summary(path, cfg_options={'train_dataloader.dataset.ann_file': 'val.txt'})
    assert splits['config/train']['pairs'] == 1


def test_a_relative_root_is_that_of_the_working_directory(tmp_path, monkeypatch):
    """As it is for a training: the check passes where the training finds its files."""
    path = config(tmp_path, 'train_dataloader = dict(dataset=train)\n')
    path.write_text(path.read_text().replace(str(tmp_path / 'set'), 'set'))
    monkeypatch.chdir(tmp_path)
    assert summary(path)[0]['config/train']['images'] == 2
    (tmp_path / 'elsewhere').mkdir()
    monkeypatch.chdir(tmp_path / 'elsewhere')
    splits, kinds, status = summary(path)
    assert (splits['config/train']['images'], kinds, status) == (0, {'list': 3}, 3)


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
    _, kinds, status = summary(path)
    assert (kinds.get('mask-values', 0), status) == (wrong, 3 if wrong else 0)


def test_a_config_with_the_former_name_and_its_default(tmp_path):
    path = config(tmp_path, 'train_dataloader = dict(dataset=train)\n')
    path.write_text(path.read_text().replace('LoadBinaryMask', 'BinarizeMask'))
    rule = summary(path)[0]['config/train']['mask_rule']
    assert rule == 'foreground > 127 (config)'


@pytest.mark.parametrize(('value', 'wrong'), [(255, 2), (1, 0), (2, 2)])
def test_masks_must_be_classes_without_binarize(tmp_path, value, wrong):
    """0/255 masks would be background and ignored pixels: mmseg trains on that in silence."""
    path = config(tmp_path, 'train_dataloader = dict(dataset=plain)\n')
    data(tmp_path / 'set', 'a', 'b', value=value)
    splits, kinds, _ = summary(path)
    assert splits['config/train']['mask_rule'] == 'values are classes (config)'
    assert kinds.get('mask-values', 0) == wrong


def test_wrong_configs_are_named(tmp_path):
    for text, message in (
        ('a = 1\n', 'none of its dataloaders'),
        ('a = = 1\n', 'cannot be read as a config'),
        ("train_dataloader = dict(dataset=dict(type='Nope'))\n", "'Nope' is not registered"),
        (
            "train_dataloader = dict(dataset=dict(type='BinaryMedicalDataset', typo=1))\n",
            'BinaryMedicalDataset cannot be built: .*typo',
        ),
    ):
        (tmp_path / 'c.py').write_text(text)
        with pytest.raises(UserError, match=message):
            check_dataset([tmp_path / 'c.py'])


def test_a_shipped_config_by_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data(tmp_path / 'data' / 'kvasir-seg', 'a', 'b')
    lists(tmp_path / 'data' / 'kvasir-seg', train='a', val='b')
    name = 'condseg_r50_1xb12-300e_kvasir-seg-256x256'
    splits, kinds, status = summary(name)
    assert {key: split['pairs'] for key, split in splits.items()} == {
        f'{name}/train': 1, f'{name}/val+test': 1
    }  # fmt: skip
    assert (kinds, status) == ({'same-list': 1}, 0)


def test_a_data_set_that_is_not_mmsegs_is_skipped(tmp_path):
    loaders = "train_dataloader = dict(dataset=dict(type='ConcatDataset'))\n"
    loaders += 'val_dataloader = dict(dataset=val)\n'
    splits, kinds, _ = summary(config(tmp_path, loaders))
    assert (list(splits), kinds['skipped']) == (['config/val'], 1)
