"""The layout of each owner, made small."""

import numpy as np
import pytest
from helpers import ROOT
from PIL import Image
from preparation.samples import encode, glas, make_folder, make_zip, names, record

SPLITS = ROOT / 'configs' / 'splits'


IMAGE = np.full((8, 16, 3), 120, np.uint8)
MASK = np.zeros((8, 16), np.uint8)
MASK[:, 8:] = 255
JPG, JPG_MASK, PNG_MASK = encode(IMAGE, 'JPEG'), encode(MASK, 'JPEG'), encode(MASK, 'PNG')


def mask(out, name) -> np.ndarray:
    with Image.open(out / 'masks' / f'{name}.png') as image:
        assert image.mode == 'L'
        return np.array(image)


def kvasir(stems, root='Kvasir-SEG'):
    found = {f'{root}/images/{stem}.jpg': JPG for stem in stems}
    found |= {f'{root}/masks/{stem}.jpg': JPG_MASK for stem in stems}
    return found | {f'{root}/kavsir_bboxes.json': b'{}'}


@pytest.fixture(scope='module')
def thousand():
    return [
        name for split in ('train', 'val') for name in names(SPLITS / f'kvasir-seg/{split}.txt')
    ]


# Kvasir-SEG


def test_kvasir_seg_gets_the_official_lists(thousand, tmp_path, run):
    src = make_zip(tmp_path / 'kvasir-seg.zip', kvasir(thousand))
    status, out, _ = run('kvasir_seg', src, tmp_path / 'out', '--dry-run')
    assert status == 0
    assert '1000 images (880 in train.txt, 120 in val.txt)' in out


def test_part_of_kvasir_seg_needs_the_users_word(thousand, tmp_path, run, refused):
    some = thousand[:3] + thousand[-2:]
    src = make_zip(tmp_path / 'kvasir-seg.zip', kvasir([*some, 'mine']))
    message = refused('kvasir_seg', src, tmp_path / 'out')
    assert '995 of 1000 names of the official lists of Kvasir-SEG are missing' in message
    assert '1 image not in the official lists' in message
    assert '--allow-incomplete' in message
    assert run('kvasir_seg', src, tmp_path / 'out', '--allow-incomplete')[0] == 0
    assert names(tmp_path / 'out' / 'train.txt') == thousand[:3]
    assert names(tmp_path / 'out' / 'val.txt') == thousand[-2:]
    assert record(tmp_path / 'out')['complete'] is False
    assert np.array_equal(mask(tmp_path / 'out', some[0]), MASK > 0)
    assert not (tmp_path / 'out' / 'images' / 'mine.jpg').exists()


# Kvasir-Sessile


def test_kvasir_sessile_out_of_kvasir_seg(thousand, tmp_path, run):
    src = make_zip(tmp_path / 'kvasir-seg.zip', kvasir(thousand))
    status, out, message = run('kvasir_sessile', src, tmp_path / 'out')
    assert status == 0
    assert '195 images (155 in train.txt, 20 in val.txt, 20 in test.txt)' in out
    assert '155 / 20 / 20 instead of 156 / 20 / 20' in message
    for split in ('train', 'val', 'test'):
        made = (tmp_path / 'out' / f'{split}.txt').read_bytes()
        assert made == (SPLITS / 'kvasir-sessile' / f'{split}.txt').read_bytes()
    from_split = [entry['kvasir_seg'] for entry in record(tmp_path / 'out')['details'].values()]
    assert (from_split.count('train'), from_split.count('val')) == (170, 25)
    assert record(tmp_path / 'out')['complete'] is False


def test_kvasir_sessile_out_of_its_own_archive(thousand, tmp_path, run, refused):
    known = names(SPLITS / 'kvasir-sessile' / 'names.txt')
    last = next(name for name in thousand if name not in known)
    src = make_zip(tmp_path / 'a.zip', kvasir([*known, last], 'sessile-main-Kvasir-SEG'))
    status, out, message = run('kvasir_sessile', src, tmp_path / 'out', '--dry-run')
    assert status == 0
    assert '196 images (156 in train.txt, 20 in val.txt, 20 in test.txt)' in out
    assert 'warning' not in message

    src = make_zip(tmp_path / 'b.zip', kvasir([*known, 'foreign']))
    assert 'no image of Kvasir-SEG: foreign' in refused(
        'kvasir_sessile', src, tmp_path / 'out', '--dry-run'
    )


def test_kvasir_sessile_with_a_list_of_names(thousand, tmp_path, run):
    test = names(SPLITS / 'kvasir-sessile' / 'test.txt')
    train = names(SPLITS / 'kvasir-sessile' / 'train.txt')
    (tmp_path / 'names.txt').write_text('\n'.join([*test[:3], *train[:2]]))
    src = make_folder(tmp_path / 'src', kvasir([*test[:3], *train[:4]]))
    args = ['kvasir_sessile', src, tmp_path / 'out', '--names', tmp_path / 'names.txt']
    assert run(*args)[0] == 0
    assert names(tmp_path / 'out' / 'test.txt') == test[:3]
    assert names(tmp_path / 'out' / 'train.txt') == train[:2]
    assert not (tmp_path / 'out' / 'val.txt').exists()


# GlaS


def test_glas(tmp_path, run, refused):
    content, labels = glas()
    src = make_zip(tmp_path / 'warwick_qu_dataset_released_2016_07_08.zip', content)
    assert '160 of 165 names' in refused('glas', src, tmp_path / 'out')
    status, _, message = run('glas', src, tmp_path / 'out', '--allow-incomplete')
    assert status == 0
    out = tmp_path / 'out'
    lists = {path.stem: names(path) for path in out.glob('*.txt')}
    assert lists == dict(
        train=['train_1', 'train_2'],
        test=['testA_1', 'testB_2', 'testB_10'],
        testA=['testA_1'],
        testB=['testB_2', 'testB_10'],
    )
    assert (out / 'images' / 'train_1.bmp').read_bytes() == encode(IMAGE, 'BMP')
    assert np.array_equal(mask(out, 'testB_2'), labels > 0)
    assert record(out)['details']['testB_10'] == dict(
        patient='7', grade='malignant', grade_sirinukunwattana='moderately differentiated'
    )
    assert (
        '1 patient (4) of 2 in train are in test too, with 1 of 2 training images and 1 of 3 '
        'test images'
    ) in message


def test_glas_without_and_with_a_wrong_grade_table(tmp_path, run, refused):
    content, _ = glas()
    table = next(path for path in content if path.endswith('Grade.csv'))
    src = make_zip(tmp_path / 'a.zip', content | {table: b'name;patient ID\rtrain_1;4'})
    assert 'the columns name, patient ID' in refused(
        'glas', src, tmp_path / 'out', '--allow-incomplete'
    )
    del content[table]
    src = make_zip(tmp_path / 'b.zip', content)
    status, _, message = run('glas', src, tmp_path / 'out', '--allow-incomplete')
    assert status == 0
    assert 'one Grade.csv is needed' in message
    assert record(tmp_path / 'out')['details'] == {}


# ISIC


def isic(data, truth, numbers, suffix='_Segmentation.png', more=()):
    stems = [f'ISIC_{number:07d}' for number in numbers]
    images = {f'{data}/{stem}.jpg': JPG for stem in stems} | dict(more)
    return images, {f'{truth}/{stem}{suffix}': PNG_MASK for stem in stems}


def test_isic2016_from_the_four_archives(tmp_path, run, refused):
    parts = dict(Training=range(3), Test=range(10, 12))
    for part, numbers in parts.items():
        folders = [f'ISBI2016_ISIC_Part1_{part}_{kind}' for kind in ('Data', 'GroundTruth')]
        for folder, content in zip(folders, isic(*folders, numbers), strict=True):
            make_zip(tmp_path / f'{folder}.zip', content)
    args = ['isic2016', *sorted(tmp_path.glob('*.zip')), tmp_path / 'out']
    message = refused(*args)
    assert 'train.txt: 3 of 900 images' in message
    assert 'test.txt: 2 of 379 images' in message
    assert run(*args, '--allow-incomplete')[0] == 0
    out = tmp_path / 'out'
    assert names(out / 'train.txt') == ['ISIC_0000000', 'ISIC_0000001', 'ISIC_0000002']
    assert names(out / 'test.txt') == ['ISIC_0000010', 'ISIC_0000011']
    assert np.array_equal(mask(out, 'ISIC_0000011'), MASK > 0)
    assert len(record(out)['sources']) == 4


def test_isic2017_unpacked_with_superpixels_and_either_case(tmp_path, run):
    content = {}
    for part, numbers in {'Training': [1, 2], 'Validation': [3], 'Test_v2': [4]}.items():
        data = f'ISIC-2017_{part}_Data'
        more = {f'{data}/ISIC_{n:07d}_superpixels.png': PNG_MASK for n in numbers}
        more[f'{data}/{data}_metadata.csv'] = b'image_id,age_approximate,sex\n'
        truth, suffix = f'ISIC-2017_{part}_Part1_GroundTruth', '_segmentation.png'
        if part == 'Training':
            suffix = '_Segmentation.PNG'
        for found in isic(data, truth, numbers, suffix, more.items()):
            content |= found
    # the folder above says test: the innermost one that names a split decides
    src = make_folder(tmp_path / 'test', content)
    assert run('isic2017', src, tmp_path / 'out', '--allow-incomplete')[0] == 0
    lists = {path.stem: names(path) for path in (tmp_path / 'out').glob('*.txt')}
    assert lists == dict(
        train=['ISIC_0000001', 'ISIC_0000002'], val=['ISIC_0000003'], test=['ISIC_0000004']
    )
    assert len(list((tmp_path / 'out' / 'masks').iterdir())) == 4


def test_isic_without_any_of_its_files(src, tmp_path, refused):
    message = refused('isic2016', src, tmp_path / 'out')
    assert 'no ISIC_x.jpg with its ISIC_x_Segmentation.png was found\n' in message


def test_isic_whose_split_cannot_be_told_or_leaks(tmp_path, refused):
    images, masks = isic('a', 'b', [1])
    src = make_folder(tmp_path / 'src', images | masks)
    assert '2 files of no split of ISIC 2016' in refused(
        'isic2016', src, tmp_path / 'out', '--allow-incomplete'
    )

    both = {}
    for part in ('Training', 'Test'):
        for found in isic(f'{part}_Data', f'{part}_GroundTruth', [1]):
            both |= found
    src = make_folder(tmp_path / 'leak', both)
    assert 'ISIC_0000001 is in train and in test' in refused(
        'isic2016', src, tmp_path / 'out', '--allow-incomplete'
    )


def test_isic_without_its_masks(tmp_path, refused):
    images, _ = isic('ISIC-2017_Training_Data', '', range(3))
    src = make_zip(tmp_path / 'ISIC-2017_Training_Data.zip', images)
    assert '3 images without mask' in refused('isic2017', src, tmp_path / 'out')


# CVC-ClinicDB


def clinic(frames, root='CVC-ClinicDB', truth='Ground Truth', kind='TIFF', ending='tif'):
    image, truth_mask = encode(IMAGE, kind), encode(MASK, kind)
    found = {f'{root}/Original/{frame}.{ending}': image for frame in frames}
    return found | {f'{root}/{truth}/{frame}.{ending}': truth_mask for frame in frames}


def test_cvc_clinicdb_is_split_by_sequence(tmp_path, run):
    src = make_zip(tmp_path / 'a.zip', clinic(range(1, 613), kind='PNG', ending='png'))
    status, out, _ = run('cvc_clinicdb', src, tmp_path / 'out', '--dry-run')
    assert status == 0
    assert '(491 in train.txt, 56 in val.txt, 65 in test.txt, 612 in all.txt)' in out


def test_cvc_clinicdb_as_it_is_redistributed(tmp_path, run, refused):
    frames = [2, 10, 70, 300]  # sequences 1, 1, 4, 15: train, train, val, test
    table = 'frame_id,sequence_id,png_image_path\n2,1,x\n10,1,x\n70,4,x\n300,15,x\n'
    content = clinic(frames, 'PNG', kind='PNG', ending='png') | clinic(frames, 'TIF')
    src = make_folder(tmp_path / 'src', content | {'metadata.csv': table.encode()})
    assert run('cvc_clinicdb', src, tmp_path / 'out', '--allow-incomplete')[0] == 0
    out = tmp_path / 'out'
    lists = {path.stem: names(path) for path in out.glob('*.txt')}
    assert lists == dict(train=['2', '10'], val=['70'], test=['300'], all=['2', '10', '70', '300'])
    assert sorted(path.suffix for path in (out / 'images').iterdir()) == ['.png'] * 4
    assert record(out)['details']['70'] == dict(sequence='4')

    (src / 'metadata.csv').write_text(table.replace('70,4', '70,5'))
    assert 'into other sequences than sequences.csv: 70' in refused(
        'cvc_clinicdb', src, tmp_path / 'two', '--allow-incomplete'
    )


def test_cvc_clinicdb_with_another_table_of_sequences(tmp_path, run, refused):
    table = tmp_path / 'sequences.csv'
    lines = [f'{frame},{(frame - 1) // 204}\n' for frame in range(1, 613)]
    table.write_text('frame,sequence\n' + ''.join(lines))
    src = make_zip(tmp_path / 'a.zip', clinic([1, 204, 205, 408, 409, 612], truth='GroundTruth'))
    args = ['cvc_clinicdb', src, tmp_path / 'out', '--allow-incomplete', '--sequences', table]
    third = ['--split', 0.34, 0.33, 0.33, '--seed', 7]
    assert run(*args, *third)[0] == 0
    lists = {s: names(tmp_path / 'out' / f'{s}.txt') for s in ('train', 'val', 'test')}
    assert sorted(lists.values()) == [['1', '204'], ['205', '408'], ['409', '612']]

    table.write_text('frame,sequence\n1,1\n2,\n')
    assert 'the row 2, does not fit the columns' in refused(*args, *third)
    table.write_text('image,video\n1,1\n')
    assert 'a first line with the columns frame,sequence' in refused(*args, *third)
