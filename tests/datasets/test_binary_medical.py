"""Layouts, lists and every file problem of BinaryMedicalDataset."""

import io
import warnings
from pathlib import Path

import numpy as np
import pytest
from mmseg.registry import DATASETS
from PIL import Image

import condseg_mmseg  # noqa: F401
from condseg_mmseg.datasets import BinaryMedicalDataset, DatasetFilesError
from condseg_mmseg.datasets.files import FolderIndex, displayed_size, read_names

SIZE = (13, 11)  # width, height


def save(path: Path, size: tuple = SIZE, mode: str = 'RGB', **options) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, (200, 100, 50) if mode == 'RGB' else 200).save(path, **options)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Three pairs in the Kvasir layout: a and c for training, b for validation."""
    for name in 'abc':
        save(tmp_path / 'images' / f'{name}.jpg')
        save(tmp_path / 'masks' / f'{name}.jpg', mode='L')
    (tmp_path / 'train.txt').write_text('a\nc\n')
    (tmp_path / 'val.txt').write_text('b')
    return tmp_path


def build(root: Path, ann_file: str = 'train.txt', **kwargs) -> BinaryMedicalDataset:
    return BinaryMedicalDataset(data_root=str(root), ann_file=ann_file, **kwargs)


def stems(dataset: BinaryMedicalDataset) -> list[str]:
    return [Path(dataset.get_data_info(i)['img_path']).stem for i in range(len(dataset))]


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


# ------------------------------------------------------------------------------ problems


def test_missing_files_are_told_together(small: Path) -> None:
    (small / 'images' / 'a.jpg').unlink()
    (small / 'masks' / 'c.jpg').unlink()
    with pytest.raises(DatasetFilesError) as error:
        build(small)
    assert isinstance(error.value, FileNotFoundError)
    assert isinstance(error.value, ValueError)
    text = str(error.value)
    assert text.startswith('2 problems with the files of')
    assert f'image missing: {small}/images/a.*' in text
    assert f'mask missing: {small}/masks/c.*' in text


def test_the_first_ten_problems_and_their_number(small: Path) -> None:
    (small / 'train.txt').write_text('\n'.join(f'n{i:02}' for i in range(17)))
    with pytest.raises(DatasetFilesError) as error:
        build(small)
    text = str(error.value)  # each name lacks its image and its mask
    assert text.startswith('34 problems')
    assert text.count('missing') == 10
    assert 'n04' in text
    assert 'n05' not in text
    assert text.endswith('and 24 more')


@pytest.mark.parametrize('where', ['images', 'masks'])
@pytest.mark.parametrize('content', [b'', b'no image at all'])
def test_unreadable_file(small: Path, where: str, content: bytes) -> None:
    (small / where / 'c.jpg').write_bytes(content)
    with pytest.raises(DatasetFilesError, match=rf'{where[:-1]} .*c\.jpg: unreadable'):
        build(small)
    assert len(build(small, check_files=False)) == 2


@pytest.mark.parametrize('kind', ['jpeg', 'png', 'bmp'])
def test_truncated_file(tmp_path: Path, kind: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    path = tmp_path / f'x.{kind}'
    path.write_bytes(buffer.getvalue())
    assert displayed_size(str(path)) == (64, 64)
    path.write_bytes(buffer.getvalue() + b'\0' * 5000)  # what follows the end does no harm
    assert displayed_size(str(path)) == (64, 64)
    path.write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])
    with pytest.raises(OSError, match=r'truncated|broken'):
        displayed_size(str(path))


def test_mask_of_another_size(small: Path) -> None:
    save(small / 'masks' / 'a.jpg', (5, 7), 'L')
    with pytest.raises(DatasetFilesError, match=r'5 x 7, of its image .* 13 x 11'):
        build(small)


@pytest.mark.parametrize(('orientation', 'turned'), [(1, False), (3, False), (6, True), (8, True)])
def test_exif_turns_the_image_as_the_loader_does(
    small: Path, orientation: int, turned: bool
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    save(small / 'images' / 'a.jpg', exif=exif)
    save(small / 'masks' / 'a.jpg', SIZE[::-1] if turned else SIZE, 'L')
    pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]
    sample = build(small, pipeline=pipeline)[0]
    assert sample['img'].shape[:2] == sample['gt_seg_map'].shape


def test_exif_in_a_mask_is_a_problem(small: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down: the size does not tell
    save(small / 'masks' / 'a.jpg', mode='L', exif=exif)
    with pytest.raises(DatasetFilesError, match='EXIF orientation 3'):
        build(small)


@pytest.mark.parametrize('text', ['', '\n\n', '  \r\n'])
def test_empty_list(small: Path, text: str) -> None:
    (small / 'train.txt').write_text(text)
    with pytest.raises(DatasetFilesError, match='holds no name'):
        build(small)


@pytest.mark.parametrize(
    ('ending', 'dtype'), [('png', 'uint16'), ('tif', '>u2'), ('tif', 'int32'), ('tif', 'float32')]
)
def test_mask_with_more_than_8_bits(tmp_path: Path, ending: str, dtype: str) -> None:
    save(tmp_path / 'images' / 'a.png')
    path = tmp_path / 'masks' / f'a.{ending}'
    path.parent.mkdir()
    Image.fromarray(np.full(SIZE[::-1], 256, dtype)).save(path)
    with pytest.raises(DatasetFilesError, match=rf'mask .*a\.{ending}: .* store it with 8 bits'):
        build(tmp_path, '')


@pytest.mark.parametrize('mode', ['1', 'L', 'LA', 'P', 'RGB', 'RGBA'])
def test_mask_with_8_bits_and_image_with_16(tmp_path: Path, mode: str) -> None:
    (tmp_path / 'images').mkdir()
    Image.fromarray(np.full(SIZE[::-1], 256, np.uint16)).save(tmp_path / 'images' / 'a.png')
    (tmp_path / 'masks').mkdir()
    Image.new(mode, SIZE).save(tmp_path / 'masks' / 'a.png')
    assert len(build(tmp_path, '')) == 1


def test_list_that_is_no_text(small: Path) -> None:
    (small / 'train.txt').write_bytes(b'\xff\xfe\x00a')
    with pytest.raises(DatasetFilesError, match='unreadable'):
        build(small)


def test_missing_list_and_folders(small: Path) -> None:
    with pytest.raises(DatasetFilesError) as error:
        build(small, 'no.txt', data_prefix=dict(img_path='x', seg_map_path='y'))
    assert str(error.value).count('no such folder') == 2
    assert 'no such list' in str(error.value)


def test_empty_folder(tmp_path: Path) -> None:
    (tmp_path / 'images').mkdir()
    (tmp_path / 'masks').mkdir()
    with pytest.raises(DatasetFilesError, match='no image in'):
        build(tmp_path, '')


def test_duplicates_are_told_with_the_other_problems(small: Path) -> None:
    (small / 'train.txt').write_text('a\na\nc\nc.jpg\ngone')
    with pytest.raises(DatasetFilesError) as error:
        build(small)
    text = str(error.value)
    assert "the name 'a' is there 2 times" in text
    assert "c.jpg is named twice, the second time as 'c.jpg'" in text
    assert 'image missing' in text


def test_image_and_mask_at_once(small: Path) -> None:
    with pytest.raises(DatasetFilesError, match='image and mask at once; set seg_map_suffix'):
        build(small, data_prefix=dict(img_path='images', seg_map_path='images'))


def test_a_name_in_both_lists_warns(small: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter('error', UserWarning)
        build(small, other_ann_files='val.txt')
    (small / 'val.txt').write_text('c\nb\n')
    with pytest.warns(UserWarning, match=r'1 of 2 names are in .*train.txt and in .*val.txt.*: c'):
        assert len(build(small, other_ann_files=('val.txt',))) == 2
    with pytest.raises(DatasetFilesError, match=r'no such list: .*test\.txt'):
        build(small, other_ann_files=('test.txt',))


@pytest.mark.parametrize(
    ('train', 'val', 'shared'),
    [('a\nc\n', 'a.png\nb', 'a'), ('a.jpg\nc', 'b\na', 'a.jpg'), ('a\nc.jpg', 'c.png', 'c.jpg')],
)
def test_an_image_in_both_lists_warns_however_it_is_spelt(
    small: Path, train: str, val: str, shared: str
) -> None:
    (small / 'train.txt').write_text(train)
    (small / 'val.txt').write_text(val)
    with pytest.warns(UserWarning, match=rf'1 of 2 names are in .*: {shared}$'):
        build(small, other_ann_files=('val.txt',))


def test_a_name_without_an_image_is_compared_as_it_is(small: Path) -> None:
    (small / 'images' / 'a.png').touch()  # `a` is ambiguous now
    (small / 'train.txt').write_text('a\nx\nc\n')
    (small / 'val.txt').write_text('x\na\n')
    with (
        pytest.warns(UserWarning, match=r'2 of 3 names are in .*: a, x$'),
        pytest.raises(DatasetFilesError, match='ambiguous'),
    ):
        build(small, other_ann_files=('val.txt',))


def test_lazy_init_reads_nothing(tmp_path: Path) -> None:
    dataset = build(tmp_path, lazy_init=True)
    with pytest.raises(DatasetFilesError):
        dataset.full_init()


def test_folder_index_reads_the_folder_once(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = FolderIndex(str(small / 'images'))
    monkeypatch.setattr('os.scandir', lambda *_: pytest.fail('scanned again'))
    assert index.find('a') == ['a.jpg']
    assert index.find('b.jpg') == ['b.jpg']
    assert index.find('d') == []


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
