"""One's own data set: what is foreground, how files are found, how they are split."""

import io

import numpy as np
import pytest
from PIL import Image
from preparation.samples import (
    NAMES,
    disk,
    encode,
    files,
    make_folder,
    make_zip,
    noisy,
    picture,
    pixels,
    record,
    square,
)

from condseg_mmseg.datasets import BinaryMedicalDataset


def test_an_image_may_be_turned_by_exif_a_mask_may_not(tmp_path, run, refused):
    turned = Image.Exif()
    turned[0x0112] = 6  # a quarter turn
    content = files(['a'])
    content['top/images/a.jpg'] = encode(picture(16, 24), 'JPEG', exif=turned)
    src = make_zip(tmp_path / 'a.zip', content)
    assert run('custom', src, tmp_path / 'out', '--split', 1, 0, 0)[0] == 0
    made = (tmp_path / 'out' / 'images' / 'a.jpg').read_bytes()
    assert made == content['top/images/a.jpg']
    BinaryMedicalDataset(data_root=str(tmp_path / 'out'), ann_file='train.txt')  # sizes agree

    content['top/masks/a.jpg'] = encode(noisy(square()), 'JPEG', exif=turned)
    src = make_zip(tmp_path / 'b.zip', content)
    assert 'carries the EXIF orientation 6' in refused(
        'custom', src, tmp_path / 'two', '--split', 1, 0, 0
    )


def palette(array):
    image = Image.new('P', array.shape[::-1])
    image.putpalette([0, 0, 0, 1, 0, 0, 0, 0, 2] + [0] * 759)  # nearly black labels
    image.putdata(array.ravel().tolist())
    file = io.BytesIO()
    image.save(file, 'PNG')
    return file.getvalue()


LABELS = disk(value=2)
LABELS[0, :4] = 1
MASKS = {
    'labels': (encode(LABELS), 'nonzero', LABELS > 0),
    'palette': (palette(LABELS), 'nonzero', LABELS > 0),
    'dark colour': (encode(np.stack([0 * LABELS, 0 * LABELS, LABELS], 2)), 'nonzero', LABELS > 0),
    'one bit': (encode(disk() > 0), 'threshold', disk() > 0),
    'colour': (encode(np.repeat(disk()[..., None], 3, 2)), 'threshold', disk() > 0),
    'alpha': (
        encode(np.dstack([disk(), disk(), disk(), np.full_like(disk(), 255)])),
        'threshold',
        disk() > 0,
    ),
    'grey 128': (encode(np.where(disk() > 0, 128, 127).astype(np.uint8)), 'forced', disk() > 0),
    'bmp': (encode(disk(), 'BMP'), 'threshold', disk() > 0),
    'tiff': (encode(disk(), 'TIFF'), 'threshold', disk() > 0),
}


@pytest.mark.parametrize('kind', MASKS)
def test_what_is_foreground(kind, tmp_path, run):
    data, mode, expected = MASKS[kind]
    ending = kind if kind in ('bmp', 'tiff') else 'png'
    content = {'images/a.png': encode(picture()), f'masks/a.{ending}': data}
    src = make_folder(tmp_path / 'src', content)
    options = ['--force-mode'] if mode == 'forced' else ['--mask-mode', mode]
    assert run('custom', src, tmp_path / 'out', '--split', 1, 0, 0, *options)[0] == 0
    assert np.array_equal(pixels(tmp_path / 'out' / 'masks' / 'a.png'), expected)


@pytest.mark.parametrize(
    ('mask', 'mode'),
    [(LABELS, 'threshold'), (np.tile(np.arange(0, 256, 2, dtype=np.uint8), (9, 1)), 'nonzero')],
)
def test_values_that_do_not_fit_are_an_error_unless_forced(mask, mode, tmp_path, run, refused):
    height, width = mask.shape
    content = {'images/a.png': encode(picture(width, height)), 'masks/a.png': encode(mask)}
    src = make_folder(tmp_path / 'src', content)
    args = ['custom', src, tmp_path / 'out', '--split', 1, 0, 0, '--mask-mode', mode]
    message = refused(*args)
    assert 'mask src/masks/a.png: it' in message
    assert '--force-mode' in message
    status, _, message = run(*args, '--force-mode')
    assert status == 0
    assert '1 mask with odd values' in message


def test_masks_without_and_full_of_foreground_are_told(tmp_path, run):
    content = files()
    content['top/masks/case0.jpg'] = encode(np.zeros((16, 24), np.uint8))
    content['top/masks/case1.jpg'] = encode(np.full((16, 24), 255, np.uint8))
    src = make_zip(tmp_path / 'a.zip', content)
    status, _, message = run('custom', src, tmp_path / 'out')
    assert status == 0
    assert '1 mask with no foreground: case0' in message
    assert '1 mask with nothing but foreground: case1' in message
    masks = record(tmp_path / 'out')['masks']
    assert (masks['empty'], masks['full']) == (1, 1)


def test_names_with_folders_and_suffixes(tmp_path, run, refused):
    content = {}
    for name in ('p1/a', 'p1/b', 'p2/a'):
        content[f'set/{name}.png'] = encode(picture())
        content[f'set/{name}_m.png'] = encode(disk())
    src = make_folder(tmp_path / 'src', content)
    args = ['custom', src, tmp_path / 'out', '--images', 'set', '--masks', 'set']
    assert '--mask-suffix' in refused(*args)
    assert run(*args, '--mask-suffix', '_m', '--split', 1, 0, 0)[0] == 0
    assert (tmp_path / 'out' / 'train.txt').read_text() == 'p1/a\np1/b\np2/a\n'
    assert (tmp_path / 'out' / 'masks' / 'p2' / 'a.png').is_file()
    data = BinaryMedicalDataset(data_root=str(tmp_path / 'out'), ann_file='train.txt')
    assert len(data) == 3


@pytest.mark.parametrize('name', [' a', 'a\nb', 'a\udce9'])
def test_names_that_no_list_can_hold_are_refused(name, tmp_path, run, refused):
    src = make_folder(tmp_path / 'src', files([name, *'bcdefghij']))
    message = refused('custom', src, tmp_path / 'out')
    assert f'the name {name!r} would not survive in a list' in message
    assert not (tmp_path / 'out').exists()


def test_warnings_of_any_file_name(tmp_path, run):
    content = {path.replace('top', 't\udce9p'): data for path, data in files().items()}
    content['t\udce9p/images/a :apple: [red]x.jpg'] = content['t\udce9p/images/case0.jpg']
    src = make_folder(tmp_path / 'src', content)
    status, _, message = run('custom', src, tmp_path / 'out', '--allow-incomplete')
    assert status == 0
    warning = '1 image without mask: src/t\udce9p/images/a :apple: [red]x.jpg'
    assert warning.replace('\udce9', r'\udce9') in message
    assert record(tmp_path / 'out')['warnings'] == [warning]


def test_a_folder_name_that_means_several_is_refused(tmp_path, run, refused):
    content = {f'{part}/{k}': v for part in ('train', 'val') for k, v in files(['a']).items()}
    src = make_folder(tmp_path / 'src', content)
    assert 'src/train/top/images, src/val/top/images' in refused('custom', src, tmp_path / 'out')
    args = ['--images', 'train/top/images', '--masks', 'train/top/masks', '--split', 1, 0, 0]
    assert run('custom', src, tmp_path / 'out', *args)[0] == 0


def test_groups_stay_together(tmp_path, run, refused):
    names = [f'v{i // 5}f{i % 5}' for i in range(40)]
    src = make_zip(tmp_path / 'a.zip', files(names))
    table = tmp_path / 'groups.csv'
    table.write_bytes(b'name,video\r' + b''.join(f'{n}.jpg,{n[:2]}\r'.encode() for n in names))
    assert run('custom', src, tmp_path / 'out', '--groups', table)[0] == 0
    lists = {
        s: (tmp_path / 'out' / f'{s}.txt').read_text().split() for s in ('train', 'val', 'test')
    }
    assert sorted(name for part in lists.values() for name in part) == sorted(names)
    videos = {split: {name[:2] for name in part} for split, part in lists.items()}
    assert len(videos['train'] | videos['val'] | videos['test']) == 8
    assert sum(map(len, videos.values())) == 8  # none twice
    assert [len(lists[s]) for s in ('train', 'val', 'test')] == [30, 5, 5]
    assert record(tmp_path / 'out')['details']['v3f1'] == dict(group='v3')

    table.write_text('name,video\nv0f0,v0\n')
    assert 'no group for v0f1' in refused('custom', src, tmp_path / 'two', '--groups', table)


def test_lists_of_ones_own(src, tmp_path, run, refused):
    (tmp_path / 'a.txt').write_text('case3.jpg\ncase1\n')
    (tmp_path / 'b.txt').write_bytes(b'case7\rcase2\r')
    args = ['--train', tmp_path / 'a.txt', '--test', tmp_path / 'b.txt']
    status, out, message = run('custom', src, tmp_path / 'out', *args)
    assert status == 0
    assert '4 images (2 in train.txt, 2 in test.txt)' in out
    assert '6 images in no list, left out' in message
    assert (tmp_path / 'out' / 'train.txt').read_text() == 'case3\ncase1\n'
    assert (tmp_path / 'out' / 'test.txt').read_text() == 'case7\ncase2\n'

    (tmp_path / 'b.txt').write_text('case1\ncase77\n')
    groups = tmp_path / 'groups.csv'
    groups.write_text('name,group\n' + ''.join(f'{n},same\n' for n in NAMES))
    message = refused('custom', src, tmp_path / 'two', *args, '--groups', groups)
    assert '1 name in two lists: case1 (train, test)' in message
    assert '1 group in two lists: same (train, test)' in message
    assert 'case77' in message


@pytest.mark.parametrize(
    ('args', 'text'),
    [
        (['--split', 0.5, 0.5, 0.5], 'sum to 1'),
        (['--split', 0, 0.5, 0.5], 'train above 0'),
        (['--threshold', 300], '0..254, got 300'),
        (['--threshold', 5, '--mask-mode', 'nonzero'], 'does not work with'),
        (['--train', 'a.txt', '--seed', 3], '--train FILE does not work with'),
        (['--workers', 0], 'at least 1, got 0'),
        (['--train', 'gone.txt'], '--train gone.txt: unreadable'),
        (['--groups', 'gone.csv'], '--groups gone.csv: no such file'),
        (['--images', 'pictures'], '--images pictures: no image there'),
        (['--mask-suffix', '_m'], "--masks masks: no image there ends with '_m'"),
    ],
)
def test_wrong_values_are_named(args, text, src, tmp_path, refused):
    message = refused('custom', src, tmp_path / 'out', *args)
    assert text in message


def test_too_few_images_for_the_split(tmp_path, refused):
    src = make_zip(tmp_path / 'a.zip', files(['a', 'b']))
    assert 'leaves nothing for train' in refused('custom', src, tmp_path / 'out')
