"""Layouts and lists of BinaryMedicalDataset."""

import warnings
from pathlib import Path

import pytest
from helpers import load_script
from mmseg.registry import DATASETS

from condseg_mmseg.datasets import DatasetFilesError
from condseg_mmseg.datasets.files import read_names

samples = load_script('tests/datasets/medical_samples.py')
build, save, stems, SIZE = samples.build, samples.save, samples.stems, samples.SIZE


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return samples.kvasir_layout(tmp_path)


def test_kvasir_layout_gives_pairs_in_the_order_of_the_list(small: Path) -> None:
    dataset = build(small)
    assert stems(dataset) == ['a', 'c']
    info = dataset.get_data_info(1)
    assert info['img_path'] == str(small / 'images' / 'c.jpg')
    assert info['seg_map_path'] == str(small / 'masks' / 'c.jpg')
    assert info['seg_fields'] == []
    assert info['label_map'] is None
    assert info['reduce_zero_label'] is False
    assert dataset.metainfo['classes'] == ('background', 'foreground')
    assert len(dataset.metainfo['palette']) == 2


def test_it_is_built_from_the_registry(small: Path) -> None:
    config = dict(type='mmseg.BinaryMedicalDataset', data_root=str(small), ann_file='val.txt')
    assert stems(DATASETS.build(config)) == ['b']


@pytest.mark.parametrize(
    'text',
    [b'a\nc\n', b'a\nc', b'a\r\nc\r\n', b'a\rc\r', b'a\rc', b'\n a \n\nc\n\n', b'\xef\xbb\xbfa\nc'],
)
def test_line_ends_of_a_list(small: Path, text: bytes) -> None:
    (small / 'train.txt').write_bytes(text)
    assert stems(build(small)) == ['a', 'c']


def test_a_name_keeps_what_only_looks_like_a_line_end(tmp_path: Path) -> None:
    (tmp_path / 'list.txt').write_text('x\x0by\nz\x85w\n', encoding='utf-8')
    assert read_names(str(tmp_path / 'list.txt')) == ['x\x0by', 'z\x85w']


def test_a_list_may_name_files_with_their_ending(small: Path) -> None:
    (small / 'train.txt').write_text('a.jpg\nc.jpg\n')
    assert stems(build(small)) == ['a', 'c']


@pytest.mark.parametrize(
    'ending', ['jpg', 'jpeg', 'png', 'bmp', 'tif', 'tiff', 'JPG', 'Png', 'TIF']
)
def test_any_suffix_in_any_case(tmp_path: Path, ending: str) -> None:
    save(tmp_path / 'images' / f'x.1.{ending}')
    save(tmp_path / 'masks' / 'x.1.png', mode='L')
    (tmp_path / 'train.txt').write_text('x.1')
    assert build(tmp_path).get_data_info(0)['img_path'].endswith(f'x.1.{ending}')


def test_mmseg_layout_without_a_list(tmp_path: Path) -> None:
    for name in ('b', 'a', 'sub/c'):
        save(tmp_path / 'img_dir' / 'train' / f'{name}.jpg')
        save(tmp_path / 'ann_dir' / 'train' / f'{name}.png', mode='P')
    save(tmp_path / 'img_dir' / 'val' / 'z.jpg')
    (tmp_path / 'img_dir' / 'train' / 'notes.txt').write_text('no image')
    save(tmp_path / 'img_dir' / 'train' / '.hidden.jpg')
    prefix = dict(img_path='img_dir/train', seg_map_path='ann_dir/train')
    dataset = build(tmp_path, '', data_prefix=prefix)
    assert stems(dataset) == ['a', 'b', 'c']
    assert dataset.get_data_info(2)['seg_map_path'].endswith('ann_dir/train/sub/c.png')
    assert prefix == dict(img_path='img_dir/train', seg_map_path='ann_dir/train')


@pytest.mark.parametrize('suffix', ['_anno', '_anno.bmp'])
@pytest.mark.parametrize('listed', [True, False])
def test_images_and_masks_in_one_folder(tmp_path: Path, suffix: str, listed: bool) -> None:
    for name in ('train_1', 'train_2'):
        save(tmp_path / f'{name}.bmp')
        save(tmp_path / f'{name}_anno.bmp', mode='L')
    (tmp_path / 'train.txt').write_text('train_1\rtrain_2\r')
    dataset = build(
        tmp_path,
        'train.txt' if listed else '',
        data_prefix=dict(img_path='', seg_map_path=''),
        seg_map_suffix=suffix,
    )
    assert stems(dataset) == ['train_1', 'train_2']
    assert dataset.get_data_info(0)['seg_map_path'].endswith('train_1_anno.bmp')


def test_masks_below_the_folder_of_the_images_are_no_images(tmp_path: Path) -> None:
    save(tmp_path / 'a.jpg')
    save(tmp_path / 'masks' / 'a.png', mode='L')
    dataset = build(tmp_path, '', data_prefix=dict(img_path='', seg_map_path='masks'))
    assert stems(dataset) == ['a']


def test_an_exact_suffix_ends_ambiguity(small: Path) -> None:
    save(small / 'images' / 'a.png')
    with pytest.raises(DatasetFilesError, match=r"image of 'a' is ambiguous .*a\.jpg, a\.png"):
        build(small)
    (small / 'train.txt').write_text('a')
    dataset = build(small, img_suffix='.png')
    assert dataset.get_data_info(0)['img_path'].endswith('a.png')


def test_inference_without_masks(small: Path) -> None:
    prefix = dict(img_path='images')
    dataset = build(small, '', data_prefix=prefix, test_mode=True)
    assert stems(dataset) == ['a', 'b', 'c']
    assert 'seg_map_path' not in dataset.get_data_info(0)
    with pytest.raises(ValueError, match='only test_mode=True'):
        build(small, '', data_prefix=prefix)


def test_classes_may_be_renamed_but_stay_two(small: Path) -> None:
    dataset = build(small, metainfo=dict(classes=('background', 'polyp')))
    assert dataset.metainfo['classes'] == ('background', 'polyp')
    assert dataset.metainfo['label_map'] is None
    with pytest.raises(ValueError, match='two classes'):
        build(small, metainfo=dict(classes=('a', 'b', 'c'), palette=[[0] * 3] * 3))


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        (dict(reduce_zero_label=True), 'ignore the background'),
        (dict(backend_args=dict(backend='petrel')), 'local files'),
        (dict(data_prefix=dict(seg_map_path='masks')), 'needs img_path'),
    ],
)
def test_options_that_make_no_sense(small: Path, option: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(small, **option)


# ------------------------------------------------------------------------------ real sets


def test_kvasir_seg(kvasir_dir: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter('error', UserWarning)
        train = build(kvasir_dir, 'train.txt', other_ann_files=('val.txt',))
    val = build(kvasir_dir, 'val.txt')
    assert (len(train), len(val), len(build(kvasir_dir, '', check_files=False))) == (880, 120, 1000)
    assert not set(stems(train)) & set(stems(val))


def test_kvasir_sessile_leaks_into_both_lists(kvasir_dir: Path) -> None:
    names = '../kvasir-sessile/names.txt'
    with pytest.warns(UserWarning, match='170 of 195'):
        build(kvasir_dir, names, other_ann_files=('train.txt',), check_files=False)


def test_glas(shared_dir: Path) -> None:
    dataset = build(
        shared_dir / 'data' / 'glas',
        '',
        data_prefix=dict(img_path='', seg_map_path=''),
        seg_map_suffix='_anno',
    )
    assert len(dataset) == 16


def test_isic(shared_dir: Path) -> None:
    dataset = build(
        shared_dir / 'data' / 'isic2017-val',
        '',
        data_prefix=dict(img_path='', seg_map_path=''),
        img_suffix='.jpg',
        seg_map_suffix='_segmentation.png',
    )
    assert len(dataset) == 20
