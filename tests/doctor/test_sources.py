"""The data doctor: which files of a folder belong together."""

import pytest
from doctor.samples import data, lists, summary, write
from helpers import blob

from condseg_mmseg.datasets import BinaryMedicalDataset
from condseg_mmseg.doctor import check_dataset
from condseg_mmseg.doctor.sources import role_of


@pytest.mark.parametrize(
    ('name', 'role'),
    [
        ('train', 'train'), ('Train_1', 'train'), ('isic-training', 'train'), ('val', 'val'),
        ('validation', 'val'), ('dev', 'val'), ('testA', 'test'), ('kvasir_test', 'test'),
        ('trainval', 'other'), ('train_test', 'other'), ('names', 'other'), ('latest', 'other'),
    ],
)  # fmt: skip
def test_roles(name, role):
    assert role_of(name) == role


def test_folder_without_lists_is_one_split(tmp_path):
    data(tmp_path / 'set', 'a', 'b')
    write(tmp_path / 'set' / 'masks' / 'c.png', mask=blob())
    splits, kinds, status = summary(tmp_path / 'set')
    assert {name: split['pairs'] for name, split in splits.items()} == {'set/all': 2}
    assert (kinds, status) == ({'lone-mask': 1}, 1)


def test_sub_folders_named_after_uses_are_splits(tmp_path):
    data(tmp_path / 'set', 'train/a', 'train/b', 'val/a')
    splits, kinds, _ = summary(tmp_path / 'set')
    assert {name: split['role'] for name, split in splits.items()} == {
        'set/train': 'train', 'set/val': 'val'
    }  # fmt: skip
    assert kinds == {'same-name': 1}  # a is there twice, as two pictures


def test_other_sub_folders_are_not(tmp_path):
    data(tmp_path / 'set', 'patient1/a', 'patient2/b')
    assert list(summary(tmp_path / 'set')[0]) == ['set/all']


def test_folder_options_and_raw_layout(tmp_path):
    for name in ('x', 'y'):
        write(tmp_path / 'set' / 'in' / f'{name}_img.png', seed=ord(name))
        write(tmp_path / 'set' / 'gt' / f'{name}_m.png', mask=blob())
        write(tmp_path / 'flat' / f'{name}.png', seed=ord(name))
        write(tmp_path / 'flat' / f'{name}_anno.png', mask=blob())
    options = dict(img_dir='in', mask_dir='gt', img_suffix='_img', seg_map_suffix='_m')
    splits, kinds, status = summary(tmp_path / 'set', **options)
    assert (splits['set/all']['pairs'], kinds, status) == (2, {}, 0)
    splits, kinds, _ = summary(tmp_path / 'flat', seg_map_suffix='_anno')
    assert (splits['flat/all']['pairs'], kinds) == (2, {})
    _, kinds, status = summary(tmp_path / 'flat')
    assert (kinds['same-file'], status) == (4, 3)


def test_missing_folders_are_findings_and_the_rest_is_looked_at(tmp_path):
    data(tmp_path / 'set', 'a')
    (tmp_path / 'set' / 'images' / 'a.png').write_bytes(b'')
    _, kinds, status = summary(tmp_path / 'set', mask_dir='nowhere')
    assert (kinds, status) == ({'list': 1, 'unreadable': 1}, 3)
    (tmp_path / 'empty' / 'images').mkdir(parents=True)
    (tmp_path / 'empty' / 'masks').mkdir()
    assert summary(tmp_path / 'empty')[1:] == ({'list': 1}, 3)


def test_broken_lists(tmp_path):
    data(tmp_path / 'set', 'a', 'b')
    lists(tmp_path / 'set', train='a b')
    (tmp_path / 'set' / 'val.txt').write_bytes(b'\xff\xfe\x00a')
    _, kinds, status = summary(tmp_path / 'set')
    assert (kinds, status) == ({'list': 1}, 3)


def test_a_further_list_by_its_use(tmp_path):
    """Of unknown use it overlaps; as a test list it leaks; as a list of everything it is fine."""
    data(tmp_path / 'set', 'a', 'b', 'c')
    lists(tmp_path / 'set', train='a b', val='c')
    lists(tmp_path, names='a', everything='a b c')
    for name, kind, status in (('names', 'overlap', 1), ('test', 'leakage', 3)):
        found = summary(tmp_path / 'set', lists={name: tmp_path / 'names.txt'})
        assert found[1:] == ({kind: 1}, status)
    everything = summary(tmp_path / 'set', lists=dict(all=tmp_path / 'everything.txt'))
    assert everything[1:] == ({'shared': 3}, 0)


def test_leakage_across_data_sets(tmp_path):
    """The same pictures in other files; the same names with other pictures are a note."""
    data(tmp_path / 'big', 'a', 'b', 'c')
    lists(tmp_path / 'big', train='a b', val='c')
    data(tmp_path / 'small', 'a', 'new', first=0)
    data(tmp_path / 'small', 'b', first=100)
    (tmp_path / 'small' / 'images' / 'new.png').write_bytes(
        (tmp_path / 'big' / 'images' / 'c.png').read_bytes()
    )
    lists(tmp_path / 'small', train='new', test='a b')
    _, kinds, status = summary(tmp_path / 'big', tmp_path / 'small')
    # a: training of big, test of small; new = c: training of small, validation of big
    assert (kinds, status) == ({'leakage': 2, 'same-name': 1}, 3)


def test_data_sets_of_one_name_are_told_apart(tmp_path):
    for parent in ('x', 'y'):
        data(tmp_path / parent / 'set', 'a')
        lists(tmp_path / parent / 'set', train='a')
    splits, kinds, status = summary(tmp_path / 'x' / 'set', tmp_path / 'y' / 'set')
    assert list(splits) == ['set/train', 'set#2/train']
    assert (kinds, status) == ({'shared': 1}, 0)


@pytest.mark.parametrize('ann_file', ['train.txt', ''])
def test_pairs_are_those_of_the_data_set(tmp_path, ann_file):
    """The doctor and ``BinaryMedicalDataset`` agree on which files belong together."""
    data(tmp_path / 'set', 'a', 'sub/b', 'c')
    lists(tmp_path / 'set', train='a sub/b.png')
    dataset = BinaryMedicalDataset(data_root=str(tmp_path / 'set'), ann_file=ann_file)
    expected = [(info['img_path'], info['seg_map_path']) for info in map(dict, dataset)]
    if not ann_file:
        (tmp_path / 'set' / 'train.txt').unlink()
    record = check_dataset([tmp_path / 'set'])
    found = [(row['image'], row['mask']) for row in record['images']]
    assert found == expected
