"""Every file problem of BinaryMedicalDataset."""

import io
import warnings
from pathlib import Path

import numpy as np
import pytest
from helpers import load_script
from PIL import Image

from condseg_mmseg.datasets import DatasetFilesError
from condseg_mmseg.utils.image_files import FileDefect, read_header

samples = load_script('tests/datasets/medical_samples.py')
build, save, stems, SIZE = samples.build, samples.save, samples.stems, samples.SIZE


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return samples.kvasir_layout(tmp_path)


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
    assert read_header(str(path)).size == (64, 64)
    path.write_bytes(buffer.getvalue() + b'\0' * 5000)  # what follows the end does no harm
    assert read_header(str(path)).size == (64, 64)
    path.write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])
    with pytest.raises(FileDefect, match=r'truncated|broken'):
        read_header(str(path))


def test_mask_of_another_size(small: Path) -> None:
    save(small / 'masks' / 'a.jpg', (5, 7), 'L')
    with pytest.raises(DatasetFilesError, match=r'5 x 7, of its image .* 13 x 11'):
        build(small)


@pytest.mark.parametrize(('orientation', 'turned'), [(1, False), (6, True), (8, True)])
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
