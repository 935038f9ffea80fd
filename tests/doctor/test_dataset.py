"""The data doctor on folders with one of each defect, and on the real sets."""

from collections import Counter, defaultdict
from pathlib import Path

import cv2
import numpy as np
import pytest
from doctor.samples import HEIGHT, WIDTH, Folder, blob, clean, defective, jpeg, scene

from condseg_mmseg.doctor import check_dataset, scan
from condseg_mmseg.doctor import sheet as sheets
from condseg_mmseg.doctor.kinds import KINDS, new_findings


def by_kind(record: dict) -> dict[str, list[set[str]]]:
    """Kind -> the stems of the files of each finding."""
    found = defaultdict(list)
    for finding in record['findings']:
        found[finding['kind']].append({Path(file).stem for file in finding['files']})
    return dict(found)


@pytest.fixture(scope='module')
def diagnosis(tmp_path_factory):
    """Record of the folder with one of each defect."""
    root = tmp_path_factory.mktemp('check')
    defective(root / 'data')
    before = {path: path.read_bytes() for path in root.rglob('*') if path.is_file()}
    options = dict(mask_mode='threshold', tiny=0.001, sheet=root / 'out.png')
    record = check_dataset([root / 'data'], **options)
    assert all(path.read_bytes() == data for path, data in before.items())  # originals untouched
    return record, root


def test_finds_one_of_each_defect_and_nothing_else(diagnosis):
    record, _ = diagnosis
    assert by_kind(record) == {
        'list': [{'test_b'}], 'missing-image': [{'missing_image'}],
        'missing-mask': [{'missing_mask'}], 'ambiguous': [{'ambiguous'}],
        'repeated': [{'repeated'}], 'unreadable': [{'cut_image'}, {'cut_mask'}, {'cut_jpeg'}],
        'size-mismatch': [{'size'}], 'mask-exif': [{'mask_exif'}], 'mask-depth': [{'mask_depth'}],
        'mask-values': [{'labels'}], 'leakage': [{'leak'}, {'leak1', 'leak2'}],
        'near-leakage': [{'near1', 'near2'}], 'overlap': [{'both'}],
        'duplicate': [{'copy1', 'copy2'}], 'mask-empty': [{'empty'}], 'mask-full': [{'full'}],
        'mask-inverted': [{'inverted'}], 'tiny-object': [{'specks'}], 'image-blank': [{'blank'}],
        'image-exif': [{'exif'}], 'image-turned': [{'exif'}], 'image-depth': [{'deep'}],
        'near-duplicate': [{'frame1', 'frame2'}], 'orphan-image': [{'orphan_image'}],
        'orphan-mask': [{'orphan_mask'}], 'mixed-modes': [{'deep'}],
        'mask-noise': [{'noisy'}], 'skipped': [{'readme'}],
    }  # fmt: skip
    assert record['exit_status'] == 3
    severities = Counter(finding['severity'] for finding in record['findings'])
    assert record['counts'] == severities
    assert all(f['severity'] == KINDS[f['kind']][0] for f in record['findings'])


def test_truncated_files_are_found_whatever_the_decoder_does(tmp_path, monkeypatch):
    """OpenCV 4 fills the rest of a truncated JPEG with grey, OpenCV 5 refuses it."""
    folder = clean(tmp_path / 'data')
    (folder.root / 'images' / 'a.png').unlink()
    (folder.root / 'images' / 'a.jpg').write_bytes(jpeg(scene(1))[:-300])
    monkeypatch.setattr(scan, 'decode_image', lambda path: scene(len(path)))
    assert by_kind(check_dataset([folder.root]))['unreadable'] == [{'a'}]


def test_details_say_what_it_is(diagnosis):
    details = {
        kind: ' '.join(f['detail'] for f in diagnosis[0]['findings'] if f['kind'] == kind)
        for kind in KINDS
    }
    assert details['size-mismatch'] == 'the mask is 63 x 48, its image 64 x 48'
    assert "mode='nonzero'" in details['mask-values']
    assert details['tiny-object'] == '1 of 2 objects: 1 px at (3, 40)'
    assert 'their masks differ (IoU 0.09)' in details['duplicate']  # 4 of 44 columns
    assert 'mirrored' in details['near-leakage']
    assert details['mask-inverted'] == 'foreground 87.5 % of the picture and 100 % of its rim'
    assert 'the same file' in details['leakage']
    assert 'the same pixels' in details['leakage']


def test_overlaps_are_counted(diagnosis):
    rows = {
        (row['a'], row['b']): (row['same_name'], row['same_picture'], row['near'], row['kind'])
        for row in diagnosis[0]['overlaps']
    }
    assert rows == {
        ('data/train', 'data/val'): (1, 2, 1, 'leakage'),
        ('data/val', 'data/test'): (1, 1, 0, 'overlap'),
    }


def test_the_sheet_shows_the_suspicious(diagnosis):
    record, root = diagnosis
    sheet = cv2.imread(str(root / 'out.png'))
    assert sheet.shape[1] == 4 * 2 * (sheets.TILE + sheets.GAP)
    shown = [
        f for f in record['findings']
        if (f['severity'] != 'info' or f['kind'] == 'near-duplicate')
        and f['kind'] not in ('list', 'missing-image', 'ambiguous')  # nothing to see
    ]  # fmt: skip
    # The header, then rows of four cards; a pair takes two places and may leave one free.
    card = sheets.CAPTION + sheets.TILE + 2 * sheets.GAP
    rows = (sheet.shape[0] - 2 * sheets.LINE) / card
    places = sum(1 + (len(set(f['files'])) == 2 and 'same' not in f['detail']) for f in shown)
    assert rows == int(rows)
    assert places / 4 <= rows <= places / 4 + 3


def test_the_sheet_shows_some_of_every_kind():
    found = new_findings()
    for number in range(30):
        found.add('tiny-object', '', [f'm{number}'], ['a/train'])
    found.add('leakage', '', ['x'], ['a/train', 'a/val'])
    found.add('leakage', '', ['y'], ['a/train', 'a/test'])
    found.add('missing-image', '', ['z'], ['a/train'])  # no file to show
    known = {name: (name, None, None) for name in ('x', 'y', *(f'm{n}' for n in range(30)))}
    chosen = [f.files[0] for f in sheets.select(found, known, 40)]
    assert chosen == ['x', 'y', *(f'm{n}' for n in range(8))]
    assert [f.files[0] for f in sheets.select(found, known, 4)] == ['x', 'y', 'm0', 'm1']


def test_a_clean_folder_gives_0(tmp_path):
    clean(tmp_path / 'data')
    record = check_dataset([tmp_path / 'data'], sheet=tmp_path / 'out.png')
    assert (record['exit_status'], record['findings'], record['overlaps']) == (0, [], [])
    assert cv2.imread(str(tmp_path / 'out.png')).shape[0] == 2 * sheets.LINE  # the header alone


def test_statistics(tmp_path):
    folder = Folder(tmp_path / 'data')
    flat = np.full((HEIGHT, WIDTH, 3), (10, 20, 30), np.uint8)
    flat[::2] += 100
    for number, width in enumerate((4, 8, 16, 24, 32, 40)):
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        mask[:24, :width] = 1
        mask[40:, 60:] = number % 2  # 8 x 4 pixels, 1 % of the picture
        folder.pair(f'p{number}', np.roll(flat, number, 2), mask)
    folder.list('train', 'p0', 'p1', 'p2', 'p3')
    folder.list('test', 'p4', 'p5')
    record = check_dataset([tmp_path / 'data'])
    train, test = record['data_sets'][0]['splits']
    assert train['objects'] == {'1': 2, '2': 2}
    assert train['objects_mean'] == 1.5
    # shares of 3072: 96, 192 + 32, 384, 576 + 32, 768, 960 + 32 pixels
    assert test['foreground']['p0'] == pytest.approx(768 / 3072)
    assert test['foreground']['p100'] == pytest.approx(992 / 3072, abs=1e-5)
    assert train['terciles'] == {'small': 2, 'medium': 2, 'large': 0}
    assert test['terciles'] == {'small': 0, 'medium': 0, 'large': 2}
    assert train['encodings'] == {'0/1': 4}
    assert train['mask_rule'] == 'foreground > 0 (found)'
    assert (train['width']['p50'], train['height']['p50'], train['sizes']) == (64, 48, 1)
    # p0 and p3 are (30, 20, 10) + 50 in red, green, blue; p1 and p2 are rolled
    assert train['colour'] == [72.5, 70.0, 67.5]


def test_the_very_picture_in_both_splits_is_not_also_a_near_one(tmp_path):
    folder = Folder(tmp_path / 'data')
    folder.pair('a', image=scene(1))
    blurred = cv2.GaussianBlur(scene(1), (0, 0), 1.5)
    folder.pair('b', image=blurred)
    folder.pair('c', image=cv2.convertScaleAbs(blurred, alpha=0.7))
    folder.list('train', 'a', 'b')
    folder.list('test', 'b', 'c')
    record = check_dataset([tmp_path / 'data'])
    assert by_kind(record) == {
        'leakage': [{'b'}],
        'near-leakage': [{'b', 'c'}],  # the better match of c
        'near-duplicate': [{'a', 'b'}, {'b', 'c'}],
    }
    (row,) = record['overlaps']
    assert (row['same_picture'], row['near']) == (1, 1)
    record = check_dataset([tmp_path / 'data'], near_correlation=1.1)
    assert by_kind(record) == {'leakage': [{'b'}]}


def test_specks_are_not_objects(tmp_path):
    folder = Folder(tmp_path / 'data')
    mask = blob()
    mask[0, 0] = 255
    folder.pair('a', mask=mask)
    record = check_dataset([tmp_path / 'data'], tiny=0.001)
    (image,) = record['images']
    assert (image['objects'], image['tiny_objects'], image['object_areas']) == (1, 1, [384, 1])
    assert image['foreground'] == pytest.approx(385 / 3072, abs=1e-6)


def test_exit_status_and_fail_on(tmp_path):
    folder = clean(tmp_path / 'data')
    folder.mask('a', blob(0))

    def status():
        return [
            check_dataset([folder.root], fail_on=level)['exit_status']
            for level in ('error', 'warning', 'never')
        ]

    assert status() == [0, 1, 0]
    (tmp_path / 'data' / 'masks' / 'b.png').write_bytes(b'not an image')
    assert status() == [3, 3, 0]


@pytest.mark.slow
def test_sessile_is_found_in_kvasir(kvasir_dir, shared_dir):
    """170 of its names are in the training list, 25 in the validation list."""
    names = shared_dir / 'data' / 'kvasir-sessile' / 'names.txt'
    record = check_dataset([kvasir_dir], lists=dict(test=names))
    assert record['exit_status'] == 3
    shared = {
        (row['a'], row['b']): (row['same_name'], row['same_picture'], row['kind'])
        for row in record['overlaps']
    }
    assert shared == {
        ('kvasir-seg/train', 'kvasir-seg/test'): (170, 170, 'leakage'),
        ('kvasir-seg/val', 'kvasir-seg/test'): (25, 25, 'overlap'),
    }
    kinds = Counter(finding['kind'] for finding in record['findings'])
    assert (kinds['leakage'], kinds['overlap'], kinds['tiny-object']) == (170, 25, 143)
    # Four pairs are nearly the same picture, each looked at; one of them is in Sessile too.
    near = [f for f in record['findings'] if f['kind'] == 'near-duplicate']
    assert [f['splits'] for f in near].count(['kvasir-seg/train']) == 4
    assert len(near) == 5


@pytest.mark.parametrize(
    ('name', 'suffix', 'rule', 'encodings', 'images'),
    [
        ('glas', '_anno', 'foreground > 0 (found)', {'labels': 16}, 16),
        ('isic2017-val', '_segmentation', 'foreground > 127 (found)', {'0/255': 20}, 20),
    ],
)
def test_raw_layouts_are_clean(shared_dir, name, suffix, rule, encodings, images):
    folder = shared_dir / 'data' / name
    if not folder.is_dir():
        pytest.skip(f'needs ../shared/data/{name}')
    record = check_dataset([folder], seg_map_suffix=suffix)
    (split,) = record['data_sets'][0]['splits']
    assert (record['exit_status'], record['findings']) == (0, [])
    assert (split['mask_rule'], split['encodings'], split['pairs']) == (rule, encodings, images)
