"""A data set: what it writes, what it refuses, what it leaves alone, how it goes on."""

import hashlib
import re
import shutil

import numpy as np
import pytest
from mmcv.transforms import Compose
from preparation.samples import (
    NAMES,
    encode,
    files,
    make_folder,
    make_zip,
    noisy,
    picture,
    pixels,
    record,
    square,
    tree,
)

from condseg_mmseg.datasets import BinaryMedicalDataset
from condseg_mmseg.preparation import convert


def test_images_are_copied_and_masks_become_0_and_1(src, tmp_path, run):
    status, out, _ = run('custom', src, tmp_path / 'out')
    assert status == 0
    assert '10 images (8 in train.txt, 1 in val.txt, 1 in test.txt); 20 files written' in out
    made = tree(tmp_path / 'out')
    assert sorted(made) == sorted(
        [f'images/{n}.jpg' for n in NAMES] + [f'masks/{n}.png' for n in NAMES]
        + ['train.txt', 'val.txt', 'test.txt', 'dataset.json']
    )  # fmt: skip
    for i, name in enumerate(NAMES):
        assert made[f'images/{name}.jpg'] == files()[f'top/images/{name}.jpg']
        assert np.array_equal(pixels(tmp_path / 'out' / 'masks' / f'{name}.png'), square(i))
    made_of = record(tmp_path / 'out')
    assert made_of['sources'] == [dict(name='mine.zip', kind='zip', bytes=src.stat().st_size)]
    assert made_of['images'] == 10
    assert made_of['sizes']['width'] == [24, 24]
    assert made_of['sizes']['most_common'] == dict(width=24, height=16, images=10)
    assert made_of['masks']['mean_share'] == pytest.approx(64 / 384, abs=1e-6)
    assert made_of['lists']['test.txt']['names'] == 1
    assert str(tmp_path) not in made['dataset.json'].decode()


def test_the_dataset_class_reads_the_result(src, tmp_path, run):
    run('custom', src, tmp_path / 'out')
    data = BinaryMedicalDataset(
        data_root=str(tmp_path / 'out'), ann_file='train.txt', other_ann_files=('val.txt',)
    )
    assert len(data) == 8
    load = Compose([dict(type='LoadImageFromFile'), dict(type='LoadBinaryMask', mode='nonzero')])
    mask = load(data.get_data_info(0))['gt_seg_map']
    assert np.unique(mask).tolist() == [0, 1]


def stamps(root):
    return {path: path.stat().st_mtime_ns for path in root.rglob('*') if path.is_file()}


def test_a_second_run_writes_nothing(src, tmp_path, run):
    run('custom', src, tmp_path / 'out')
    before, content = stamps(tmp_path / 'out'), tree(tmp_path / 'out')
    status, out, _ = run('custom', src, tmp_path / 'out')
    assert status == 0
    assert '0 files written' in out
    assert stamps(tmp_path / 'out') == before
    assert tree(tmp_path / 'out') == content


@pytest.mark.parametrize('error', [KeyboardInterrupt(), OSError('disk full')])
def test_a_stopped_run_goes_on(error, src, tmp_path, run, monkeypatch):
    run('custom', src, tmp_path / 'whole')
    real, out = convert.make, tmp_path / 'out'

    def breaks(job, path, out, threshold):
        if job.name == 'case4' and job.is_mask:
            raise error
        real(job, path, out, threshold)

    monkeypatch.setattr(convert, 'make', breaks)
    status, _, message = run('custom', src, out, '--workers', 1)
    assert status == (130 if isinstance(error, KeyboardInterrupt) else 2)
    assert 'repeat the command to go on' in message
    assert not (out / 'dataset.json').exists()
    assert (out / 'masks' / 'case3.png').is_file()
    assert not (out / 'masks' / 'case4.png').exists()
    before = stamps(out / 'images') | stamps(out / 'masks')

    monkeypatch.setattr(convert, 'make', real)
    status, printed, _ = run('custom', src, out)
    assert status == 0
    assert f'{20 - len(before)} files written' in printed
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert tree(out) == tree(tmp_path / 'whole')


def test_other_content_is_refused_without_force(src, tmp_path, run, refused):
    out = tmp_path / 'out'
    run('custom', src, out)
    right = tree(out)
    (out / 'masks' / 'case1.png').write_bytes(encode(square(0).astype(np.uint8)))  # other pixels
    (out / 'images' / 'case2.jpg').write_bytes(b'mine')
    (out / 'val.txt').write_text('case9\n')
    changed = tree(out)
    message = refused('custom', src, out)
    for name in ('masks/case1.png', 'images/case2.jpg', 'val.txt', '--force'):
        assert name in message
    assert tree(out) == changed
    assert run('custom', src, out, '--force')[0] == 0
    assert tree(out) == right


def test_files_of_something_else_are_never_deleted(src, tmp_path, run, refused):
    out = make_folder(tmp_path / 'out', {'images/old.jpg': b'old', 'all.txt': b'old\n'})
    assert 'all.txt, images/old.jpg' in refused('custom', src, out)
    assert not (out / 'masks').exists()
    status, _, message = run('custom', src, out, '--force')
    assert status == 0
    assert 'images/old.jpg' in message
    assert (out / 'images' / 'old.jpg').read_bytes() == b'old'

    (out / 'images' / 'case0.png').write_bytes(b'the same name, another ending')
    assert "makes the name 'case0' ambiguous" in refused('custom', src, out, '--force')


def test_all_problems_are_told_before_anything_is_written(tmp_path, refused):
    content = files()
    del content['top/masks/case0.jpg'], content['top/images/case1.jpg']
    src = make_zip(tmp_path / 'a.zip', content)
    message = refused('custom', src, tmp_path / 'out')
    assert '1 image without mask: a.zip/top/images/case0.jpg' in message
    assert '1 mask without image: a.zip/top/masks/case1.jpg' in message

    content = files()
    content['top/images/case2.png'] = encode(picture())
    for kind in ('images', 'masks'):
        content[f'top/{kind}/CASE3.jpg'] = content[f'top/{kind}/case3.jpg']
    src = make_zip(tmp_path / 'b.zip', content)
    message = refused('custom', src, tmp_path / 'out')
    assert "image 'case2' is ambiguous: b.zip/top/images/case2.jpg, b.zip/top/images/" in message
    assert "'case3' and 'CASE3' differ in case only" in message

    content = files()
    content['top/masks/case4.jpg'] = encode(noisy(square())[:, :22], 'JPEG')
    content['top/images/case5.jpg'] = content['top/images/case5.jpg'][:-40]
    content['top/masks/case6.jpg'] = b'no image'
    content['top/masks/case7.jpg'] = encode(square().astype(np.uint16) * 500)
    content['top/masks/case8.jpg'] = encode(square().astype(np.uint8) * 3)
    src = make_zip(tmp_path / 'c.zip', content)
    message = refused('custom', src, tmp_path / 'out')
    assert '5 problems, nothing was written' in message
    assert 'size of mask c.zip/top/masks/case4.jpg is 22 x 16, of its image' in message
    assert 'image c.zip/top/images/case5.jpg: unreadable' in message
    assert 'mask c.zip/top/masks/case6.jpg: unreadable' in message
    assert 'more than 8 bits a pixel' in message
    assert 'highest value is 3' in message
    assert '--mask-mode nonzero' in message
    assert not (tmp_path / 'out').exists()


def test_incomplete_pairs_are_left_out_on_request(tmp_path, run):
    content = files()
    del content['top/masks/case0.jpg'], content['top/images/case1.jpg']
    src = make_zip(tmp_path / 'a.zip', content)
    status, out, message = run('custom', src, tmp_path / 'out', '--allow-incomplete')
    assert status == 0
    assert '8 images' in out
    assert '1 image without mask' in message
    assert len(record(tmp_path / 'out')['warnings']) == 2
    assert not list((tmp_path / 'out').rglob('case[01].*'))


def test_a_link_in_out_is_replaced_and_its_target_kept(src, tmp_path, run):
    out = tmp_path / 'out'
    run('custom', src, out)
    right = tree(out)
    (tmp_path / 'mine').write_bytes(b'mine')
    for name in ('train.txt', 'images/case0.jpg', 'masks/case1.png'):
        (out / name).unlink()
        (out / name).symlink_to(tmp_path / 'mine')
    assert run('custom', src, out, '--force')[0] == 0
    assert tree(out) == right
    assert not any(path.is_symlink() for path in out.rglob('*'))
    assert (tmp_path / 'mine').read_bytes() == b'mine'


def test_a_folder_in_the_way_is_named(src, tmp_path, refused):
    make_folder(tmp_path / 'out', {'images': b'a file'})
    assert 'images' in refused('custom', src, tmp_path / 'out')


def test_dry_run_writes_nothing(src, tmp_path, run):
    status, out, _ = run('custom', src, tmp_path / 'out', '--dry-run')
    assert status == 0
    assert '20 files to write' in out
    assert not (tmp_path / 'out').exists()


def test_a_full_disk_is_foreseen(src, tmp_path, monkeypatch, refused):
    usage = shutil.disk_usage(tmp_path)._replace(free=2**24)
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: usage)
    message = refused('custom', src, tmp_path / 'out')
    assert re.search(
        r'needs up to \d+(\.\d+)? kB, and 16\.78 MB have to stay free; 16\.78 MB', message
    )
    assert not (tmp_path / 'out').exists()


def test_a_data_set_of_an_older_version_is_recognised(tmp_path, run):
    """``dataset.json`` is, byte by byte, what tools/dataset_converters/prepare.py wrote."""
    content = {}
    for i in range(9):
        content[f'images/case{i}.png'] = encode(picture(24, 16, i))
        content[f'masks/case{i}.png'] = encode(square().astype(np.uint8) * 255 * (i > 7))
    src = make_folder(tmp_path / 'src', content)
    assert run('custom', src, tmp_path / 'out', '--split', 0.6, 0.2, 0.2)[0] == 0
    assert record(tmp_path / 'out')['generator'] == dict(name='prepare.py', version=1)
    (warning,) = record(tmp_path / 'out')['warnings']
    assert warning.endswith('case4, case5 and 2 more')
    digest = hashlib.sha256((tmp_path / 'out' / 'dataset.json').read_bytes()).hexdigest()
    assert digest == 'd1acb93a6536930fad9a97bab29b9ea5ab4a281d5cc0a8854bd227c5ce84ff95'
