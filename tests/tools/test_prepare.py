"""prepare.py: what it writes, what it refuses, what it leaves alone, how it goes on."""

import json
import shutil
import subprocess
import sys
import tarfile

import numpy as np
import pytest
from helpers import load_script
from mmcv.transforms import Compose

from condseg_mmseg.datasets import BinaryMedicalDataset

samples = load_script('tests/tools/prepare_samples.py')
NAMES = samples.NAMES
SCRIPT = samples.SCRIPT
prepare = samples.prepare
encode = samples.encode
picture = samples.picture
square = samples.square
noisy = samples.noisy
files = samples.files
make_zip = samples.make_zip
make_tar = samples.make_tar
make_folder = samples.make_folder
run = samples.run
src = samples.src
tree = samples.tree
pixels = samples.pixels
build = sys.modules['_prepare.build']


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
    record = json.loads(made['dataset.json'])
    assert record['sources'] == [dict(name='mine.zip', kind='zip', bytes=src.stat().st_size)]
    assert record['images'] == 10
    assert record['sizes']['width'] == [24, 24]
    assert record['sizes']['most_common'] == dict(width=24, height=16, images=10)
    assert record['masks']['mean_share'] == pytest.approx(64 / 384, abs=1e-6)
    assert record['lists']['test.txt']['names'] == 1
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


@pytest.mark.parametrize('kind', ['folder', 'tar', 'tgz', 'two archives'])
def test_every_kind_of_source_gives_the_same(kind, src, tmp_path, run):
    content = files()
    other = tmp_path / 'other'
    if kind == 'folder':
        sources = [make_folder(other, content)]
    elif kind == 'tar':
        # masks first: members are read in the archive's order, not in ours
        sources = [make_tar(tmp_path / 'o.tar', dict(reversed(content.items())))]
    elif kind == 'tgz':
        sources = [make_tar(tmp_path / 'o.tgz', content, 'w:gz')]
    else:
        parts = ({k: v for k, v in content.items() if f'/{part}/' in k} for part in
                 ('images', 'masks'))  # fmt: skip
        sources = [make_zip(tmp_path / f'o{i}.zip', part) for i, part in enumerate(parts)]
    assert run('custom', src, tmp_path / 'a')[0] == 0
    assert run('custom', *sources, tmp_path / 'b', '--workers', 3)[0] == 0
    a, b = tree(tmp_path / 'a'), tree(tmp_path / 'b')
    of_a, of_b = (json.loads(made.pop('dataset.json')) for made in (a, b))
    assert a == b
    assert of_a.pop('sources') != of_b.pop('sources')
    assert of_a == of_b


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
    real, out = build.make, tmp_path / 'out'

    def breaks(job, path, out, threshold):
        if job.name == 'case4' and job.is_mask:
            (out / '.prepare' / 'half.png').write_bytes(b'half a file')
            raise error
        real(job, path, out, threshold)

    monkeypatch.setattr(build, 'make', breaks)
    status, _, message = run('custom', src, out, '--workers', 1)
    assert status == (130 if isinstance(error, KeyboardInterrupt) else 2)
    assert 'repeat the command to go on' in message
    assert not (out / 'dataset.json').exists()
    assert (out / 'masks' / 'case3.png').is_file()
    assert not (out / 'masks' / 'case4.png').exists()
    before = stamps(out / 'images') | stamps(out / 'masks')

    monkeypatch.setattr(build, 'make', real)
    status, printed, _ = run('custom', src, out)
    assert status == 0
    assert f'{20 - len(before)} files written' in printed
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert tree(out) == tree(tmp_path / 'whole')
    assert not (out / '.prepare').exists()


def test_other_content_is_refused_without_force(src, tmp_path, run):
    out = tmp_path / 'out'
    run('custom', src, out)
    right = tree(out)
    (out / 'masks' / 'case1.png').write_bytes(encode(square(0).astype(np.uint8)))  # other pixels
    (out / 'images' / 'case2.jpg').write_bytes(b'mine')
    (out / 'val.txt').write_text('case9\n')
    changed = tree(out)
    status, _, message = run('custom', src, out)
    assert status == 2
    for name in ('masks/case1.png', 'images/case2.jpg', 'val.txt', '--force'):
        assert name in message
    assert tree(out) == changed
    assert run('custom', src, out, '--force')[0] == 0
    assert tree(out) == right


def test_files_of_something_else_are_never_deleted(src, tmp_path, run):
    out = make_folder(tmp_path / 'out', {'images/old.jpg': b'old', 'all.txt': b'old\n'})
    status, _, message = run('custom', src, out)
    assert status == 2
    assert 'all.txt, images/old.jpg' in message
    assert not (out / 'masks').exists()
    status, _, message = run('custom', src, out, '--force')
    assert status == 0
    assert 'images/old.jpg' in message
    assert (out / 'images' / 'old.jpg').read_bytes() == b'old'

    (out / 'images' / 'case0.png').write_bytes(b'the same name, another ending')
    status, _, message = run('custom', src, out, '--force')
    assert status == 2
    assert "makes the name 'case0' ambiguous" in message


def test_all_problems_are_told_before_anything_is_written(tmp_path, run):
    content = files()
    del content['top/masks/case0.jpg'], content['top/images/case1.jpg']
    src = make_zip(tmp_path / 'a.zip', content)
    status, _, message = run('custom', src, tmp_path / 'out')
    assert status == 2
    assert '1 image without mask: a.zip/top/images/case0.jpg' in message
    assert '1 mask without image: a.zip/top/masks/case1.jpg' in message

    content = files()
    content['top/images/case2.png'] = encode(picture())
    content['top/images/CASE3.jpg'] = content['top/masks/CASE3.jpg'] = content[
        'top/images/case3.jpg'
    ]
    src = make_zip(tmp_path / 'b.zip', content)
    status, _, message = run('custom', src, tmp_path / 'out')
    assert status == 2
    assert (
        "image 'case2' is ambiguous: b.zip/top/images/case2.jpg, b.zip/top/images/case2.png"
        in message
    )
    assert "'case3' and 'CASE3' differ in case only" in message

    content = files()
    content['top/masks/case4.jpg'] = encode(noisy(square())[:, :22], 'JPEG')
    content['top/images/case5.jpg'] = content['top/images/case5.jpg'][:-40]
    content['top/masks/case6.jpg'] = b'no image'
    content['top/masks/case7.jpg'] = encode(square().astype(np.uint16) * 500)
    content['top/masks/case8.jpg'] = encode(square().astype(np.uint8) * 3)
    src = make_zip(tmp_path / 'c.zip', content)
    status, _, message = run('custom', src, tmp_path / 'out')
    assert status == 2
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
    record = json.loads((tmp_path / 'out' / 'dataset.json').read_text())
    assert len(record['warnings']) == 2
    assert not list((tmp_path / 'out').rglob('case[01].*'))


def test_a_damaged_member_is_named(tmp_path, run):
    src = make_zip(tmp_path / 'a.zip', files())
    data, content = bytearray(src.read_bytes()), files()['top/images/case3.jpg']
    at = bytes(data).index(content)
    data[at + 50] ^= 0xFF  # the checksum tells, the image's header would not
    src.write_bytes(data)
    status, _, message = run('custom', src, tmp_path / 'out')
    assert status == 2
    assert 'image a.zip/top/images/case3.jpg: unreadable in the archive (Bad CRC-32' in message


@pytest.mark.parametrize('kind', ['text', 'half a zip', 'rar', 'missing', 'zips inside'])
def test_sources_that_cannot_be_read(kind, src, tmp_path, run):
    bad = tmp_path / 'bad.zip'
    if kind == 'text':
        bad.write_text('hello')
    elif kind == 'half a zip':
        bad.write_bytes(src.read_bytes()[:-100])
    elif kind == 'rar':
        bad = tmp_path / 'bad.rar'
        bad.write_bytes(b'Rar!')
    elif kind == 'zips inside':
        bad = make_folder(tmp_path / 'down', {'one.zip': src.read_bytes()})
    expected = {
        'rar': 'unpack it first',
        'missing': 'no such file or folder',
        'zips inside': 'give them as SRC: down/one.zip',
    }.get(kind, 'neither a folder nor a whole zip or tar file')
    status, _, message = run('custom', bad, tmp_path / 'out')
    assert status == 2
    assert expected in message


@pytest.mark.parametrize('name', ['../evil.jpg', '/evil.jpg', 'top/../../evil.jpg', 'C:\\evil.jpg'])
@pytest.mark.parametrize('make', [make_zip, make_tar])
def test_paths_that_lead_out_are_refused(name, make, tmp_path, run):
    (tmp_path / 'a' / 'b').mkdir(parents=True)
    src = make(tmp_path / 'a' / 'b' / 'x', files() | {name: b'evil'})
    status, _, message = run('custom', src, tmp_path / 'a' / 'b' / 'out')
    assert status == 2
    assert 'lead out of it' in message
    assert not list(tmp_path.rglob('evil*'))
    assert not (tmp_path / 'a' / 'b' / 'out').exists()


def test_links_in_a_tar_are_not_followed(tmp_path, run):
    secret = tmp_path / 'secret.jpg'
    secret.write_bytes(encode(picture(), 'JPEG'))
    src = make_tar(tmp_path / 'a.tar', files())
    with tarfile.open(src, 'a') as archive:
        link = tarfile.TarInfo('top/images/link.jpg')
        link.type, link.linkname = tarfile.SYMTYPE, str(secret)
        archive.addfile(link)
    assert run('custom', src, tmp_path / 'out')[0] == 0
    assert not (tmp_path / 'out' / 'images' / 'link.jpg').exists()


@pytest.mark.parametrize('case', ['same', 'inside', 'around', 'linked', 'file'])
def test_originals_and_result_may_not_overlap(case, tmp_path, run):
    src = make_folder(tmp_path / 'data' / 'raw', files())
    out = dict(same=src, inside=src / 'out', around=tmp_path / 'data').get(case, tmp_path / 'out')
    if case == 'linked':
        out.mkdir()
        (out / 'images').symlink_to(src / 'top' / 'images')
    elif case == 'file':
        out.write_text('a file')
    before = tree(tmp_path)
    status, _, message = run('custom', src, out, '--force')
    assert status == 2
    assert ('is a file' if case == 'file' else 'overlap') in message
    assert tree(tmp_path) == before


def test_dry_run_writes_nothing(src, tmp_path, run):
    status, out, _ = run('custom', src, tmp_path / 'out', '--dry-run')
    assert status == 0
    assert '20 files to write' in out
    assert not (tmp_path / 'out').exists()


def test_a_full_disk_is_foreseen(src, tmp_path, run, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=2**24)
    monkeypatch.setattr(build.shutil, 'disk_usage', lambda path: usage)
    status, _, message = run('custom', src, tmp_path / 'out')
    assert status == 2
    assert '0.0 GB are free' in message
    assert not (tmp_path / 'out').exists()


@pytest.mark.slow
def test_it_runs_as_a_script_from_anywhere(src, tmp_path):
    command = [sys.executable, str(SCRIPT), 'custom', 'mine.zip', 'made/out']
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert '20 files written' in done.stdout
    assert 'check' in done.stderr  # the bar does not mix with the result
    wrong = subprocess.run([sys.executable, str(SCRIPT), 'kvasir'], capture_output=True, text=True)
    assert wrong.returncode == 2
    assert 'kvasir_seg' in wrong.stderr
