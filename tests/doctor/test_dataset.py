"""The data doctor on folders with one of each defect, and on the real sets."""

import importlib
import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

SCRIPT = Path(__file__).parents[2] / 'tools' / 'dataset_converters' / 'check.py'
sys.path.insert(0, str(SCRIPT.parent))
check = importlib.import_module('check')
findings = importlib.import_module('_check.findings')
sheets = importlib.import_module('_check.sheet')

WIDTH, HEIGHT = 64, 48


def scene(seed: int) -> np.ndarray:
    """A picture that resembles no other one, BGR."""
    rng = np.random.default_rng(seed)
    grid = rng.integers(20, 236, (9, 12, 3)).astype(np.uint8)
    return cv2.resize(grid, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)


def blob(value: int = 255) -> np.ndarray:
    """A mask with one object, 12.5 % of the picture: 24 x 16 pixels."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[10:26, 20:44] = value
    return mask


def jpeg(array: np.ndarray, quality: int = 95) -> bytes:
    return cv2.imencode('.jpg', array, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


class Folder:
    """Builds a data set; pictures are numbered, so that no two are alike unless asked."""

    def __init__(self, root: Path) -> None:
        self.root, self.seed = root, 0
        for name in ('images', 'masks'):
            (root / name).mkdir(parents=True)

    def image(self, name: str, array: np.ndarray | None = None) -> np.ndarray:
        self.seed += 1
        array = scene(self.seed) if array is None else array
        cv2.imwrite(str(self.root / 'images' / (name if '.' in name else f'{name}.png')), array)
        return array

    def mask(self, name: str, array: np.ndarray | None = None) -> None:
        array = blob() if array is None else array
        cv2.imwrite(str(self.root / 'masks' / (name if '.' in name else f'{name}.png')), array)

    def pair(self, name: str, image=None, mask=None) -> np.ndarray:
        self.mask(Path(name).stem, mask)
        return self.image(name, image)

    def list(self, split: str, *names: str) -> None:
        (self.root / f'{split}.txt').write_text(''.join(f'{name}\n' for name in names))


def run(tmp_path: Path, *argv) -> tuple[int, dict]:
    """Run the tool in this process; returns its exit status and the JSON record."""
    out = tmp_path / 'out.json'
    status = check.main([*map(str, argv), '--json', str(out), '--workers', '2'])
    return status, json.loads(out.read_text())


def by_kind(record: dict) -> dict[str, list[set[str]]]:
    """Kind -> the stems of the files of each finding."""
    found = defaultdict(list)
    for finding in record['findings']:
        found[finding['kind']].append({Path(file).stem for file in finding['files']})
    return dict(found)


def clean(root: Path) -> Folder:
    """Two splits without any fault."""
    folder = Folder(root)
    for name in ('a', 'b', 'c', 'd'):
        folder.pair(name)
    folder.list('train', 'a', 'b')
    folder.list('val', 'c', 'd')
    return folder


def exif_jpeg(path: Path, array: np.ndarray, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(array[..., ::-1] if array.ndim == 3 else array).save(path, exif=exif)


def defective(root: Path) -> None:
    """One of each defect, named after it."""
    make = Folder(root)
    images, masks = root / 'images', root / 'masks'
    train = [make.pair(name) is not None and name for name in ('ok1', 'ok2', 'ok3', 'leak')]
    make.mask('missing_image')
    make.image('missing_mask')
    make.pair('ambiguous')
    make.image('ambiguous.bmp')
    make.pair('repeated')
    make.pair('cut_image')
    (images / 'cut_image.png').write_bytes((images / 'cut_image.png').read_bytes()[:-200])
    make.pair('cut_mask')
    (masks / 'cut_mask.png').write_bytes((masks / 'cut_mask.png').read_bytes()[:-60])
    make.mask('cut_jpeg')
    (images / 'cut_jpeg.jpg').write_bytes(jpeg(scene(906))[:-300])
    make.pair('size', mask=blob()[:, :-1])
    make.image('mask_exif')
    exif_jpeg(masks / 'mask_exif.jpg', blob(), 3)
    make.pair('mask_depth', mask=blob().astype(np.uint16) * 4)
    labels = blob(1)
    labels[:, 32:] *= 3
    make.pair('labels', mask=labels)
    make.pair('empty', mask=blob(0))
    make.pair('full', mask=np.full((HEIGHT, WIDTH), 255, np.uint8))
    make.pair('inverted', mask=255 - blob())
    specks = blob()
    specks[40, 3] = 255
    make.pair('specks', mask=specks)
    make.pair('blank', image=np.full((HEIGHT, WIDTH, 3), 90, np.uint8))
    make.image('exif.png')
    (images / 'exif.png').unlink()
    exif_jpeg(images / 'exif.jpg', scene(900), 3)
    make.mask('exif')
    make.pair('deep', image=scene(901)[..., 0].astype(np.uint16) * 256)
    make.pair('copy1.png', image=scene(902))
    make.pair('copy2.bmp', image=scene(902), mask=np.roll(blob(), 20, 1))
    make.pair('frame1', image=scene(903))
    make.mask('frame2')
    (images / 'frame2.jpg').write_bytes(jpeg(cv2.convertScaleAbs(scene(903), alpha=0.8), 60))
    make.pair('leak1.png', image=scene(904))
    make.pair('leak2.bmp', image=scene(904))
    make.pair('near1', image=scene(905))
    make.pair('near2', image=np.ascontiguousarray(scene(905)[:, ::-1]))
    make.pair('noisy')
    (masks / 'noisy.png').unlink()
    (masks / 'noisy.jpg').write_bytes(jpeg(cv2.GaussianBlur(blob(), (0, 0), 1)))
    for name in ('ok5', 'ok6', 'both', 'orphan_image'):
        make.pair(name)
    (masks / 'orphan_image.png').unlink()
    make.mask('orphan_mask')
    train += [
        'missing_image', 'missing_mask', 'ambiguous', 'repeated', 'repeated.png', 'cut_image',
        'cut_mask', 'cut_jpeg', 'size', 'mask_exif', 'mask_depth', 'labels', 'empty', 'full',
        'inverted', 'specks', 'blank', 'exif', 'deep', 'copy1', 'copy2', 'frame1', 'frame2',
        'leak1', 'near1', 'noisy',
    ]  # fmt: skip
    make.list('train', *train)
    make.list('val', 'ok5', 'leak', 'leak2', 'near2', 'both')
    make.list('test', 'ok6', 'both')
    make.list('test_b')
    make.list('readme', 'This folder holds pictures.')


@pytest.fixture(scope='module')
def diagnosis(tmp_path_factory):
    """Exit status and record of the folder with one of each defect."""
    root = tmp_path_factory.mktemp('check')
    defective(root / 'data')
    before = {path: path.read_bytes() for path in root.rglob('*') if path.is_file()}
    options = ('--mask-mode', 'threshold', '--tiny', '0.001', '--sheet', root / 'out.png')
    status, record = run(root, root / 'data', *options)
    assert all(path.read_bytes() == data for path, data in before.items())  # originals untouched
    return status, record, root


def test_finds_one_of_each_defect_and_nothing_else(diagnosis):
    status, record, _ = diagnosis
    assert by_kind(record) == {
        'list': [{'test_b'}],
        'missing-image': [{'missing_image'}],
        'missing-mask': [{'missing_mask'}],
        'ambiguous': [{'ambiguous'}],
        'repeated': [{'repeated'}],
        'unreadable': [{'cut_image'}, {'cut_mask'}, {'cut_jpeg'}],
        'size-mismatch': [{'size'}],
        'mask-exif': [{'mask_exif'}],
        'mask-depth': [{'mask_depth'}],
        'mask-values': [{'labels'}],
        'leakage': [{'leak'}, {'leak1', 'leak2'}],
        'near-leakage': [{'near1', 'near2'}],
        'overlap': [{'both'}],
        'duplicate': [{'copy1', 'copy2'}],
        'mask-empty': [{'empty'}],
        'mask-full': [{'full'}],
        'mask-inverted': [{'inverted'}],
        'tiny-object': [{'specks'}],
        'image-blank': [{'blank'}],
        'image-exif': [{'exif'}],
        'image-depth': [{'deep'}],
        'near-duplicate': [{'frame1', 'frame2'}],
        'orphan-image': [{'orphan_image'}],
        'orphan-mask': [{'orphan_mask'}],
        'mixed-modes': [{'deep'}],
        'mask-noise': [{'noisy', 'mask_exif'}],
        'skipped': [{'readme'}],
    }
    assert status == record['exit_status'] == 3
    severities = Counter(finding['severity'] for finding in record['findings'])
    assert record['counts'] == severities
    assert all(f['severity'] == findings.KINDS[f['kind']][0] for f in record['findings'])


def test_truncated_files_are_found_whatever_the_decoder_does(tmp_path, monkeypatch):
    """OpenCV 4 fills the rest of a truncated JPEG with grey, OpenCV 5 refuses it."""
    folder = clean(tmp_path / 'data')
    (folder.root / 'images' / 'a.png').unlink()
    (folder.root / 'images' / 'a.jpg').write_bytes(jpeg(scene(1))[:-300])
    monkeypatch.setattr(check.scan, 'decode_image', lambda path: scene(len(path)))
    assert by_kind(run(tmp_path, folder.root)[1])['unreadable'] == [{'a'}]


def test_details_say_what_it_is(diagnosis):
    details = {
        kind: ' '.join(f['detail'] for f in diagnosis[1]['findings'] if f['kind'] == kind)
        for kind in findings.KINDS
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
        for row in diagnosis[1]['overlaps']
    }
    assert rows == {
        ('data/train', 'data/val'): (1, 2, 1, 'leakage'),
        ('data/val', 'data/test'): (1, 1, 0, 'overlap'),
    }


def test_the_sheet_shows_the_suspicious(diagnosis):
    _, record, root = diagnosis
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


def test_a_clean_folder_gives_0(tmp_path, capsys):
    clean(tmp_path / 'data')
    status, record = run(tmp_path, tmp_path / 'data', '--sheet', tmp_path / 'out.png')
    assert (status, record['findings'], record['overlaps']) == (0, [], [])
    assert '0 errors, 0 warnings, 0 notes; exit status 0' in capsys.readouterr().out
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
    _, record = run(tmp_path, tmp_path / 'data')
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
    _, record = run(tmp_path, tmp_path / 'data')
    assert by_kind(record) == {
        'leakage': [{'b'}],
        'near-leakage': [{'b', 'c'}],  # the better match of c
        'near-duplicate': [{'a', 'b'}, {'b', 'c'}],
    }
    (row,) = record['overlaps']
    assert (row['same_picture'], row['near']) == (1, 1)
    _, record = run(tmp_path, tmp_path / 'data', '--near-correlation', '1.1')
    assert by_kind(record) == {'leakage': [{'b'}]}


def test_specks_are_not_objects(tmp_path):
    folder = Folder(tmp_path / 'data')
    mask = blob()
    mask[0, 0] = 255
    folder.pair('a', mask=mask)
    _, record = run(tmp_path, tmp_path / 'data', '--tiny', '0.001')
    (image,) = record['images']
    assert (image['objects'], image['tiny_objects'], image['object_areas']) == (1, 1, [384, 1])
    assert image['foreground'] == pytest.approx(385 / 3072, abs=1e-6)


def test_exit_status_and_fail_on(tmp_path):
    folder = clean(tmp_path / 'data')
    folder.mask('a', blob(0))
    status = {level: run(tmp_path, tmp_path / 'data', '--fail-on', level)[0] for level in
              ('error', 'warning', 'never')}  # fmt: skip
    assert status == {'error': 0, 'warning': 1, 'never': 0}
    (tmp_path / 'data' / 'masks' / 'b.png').write_bytes(b'not an image')
    status = {level: run(tmp_path, tmp_path / 'data', '--fail-on', level)[0] for level in status}
    assert status == {'error': 3, 'warning': 3, 'never': 0}


def test_runs_as_a_script_from_anywhere(tmp_path):
    folder = clean(tmp_path / 'data')
    folder.list('val', 'a', 'c')
    result = subprocess.run(
        [sys.executable, str(SCRIPT), 'data', '--json', 'new/out.json'],
        cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, 'LC_ALL': 'C', 'OMP_NUM_THREADS': '1'},
    )  # fmt: skip
    assert result.returncode == 3, result.stderr
    assert '1 error, 0 warnings, 2 notes; exit status 3' in result.stdout
    assert 'a.png: the same file' in result.stdout
    assert 'reading' in result.stderr
    assert 'reading' not in result.stdout
    assert sorted(path.name for path in (tmp_path / 'new').iterdir()) == ['out.json']


@pytest.mark.slow
def test_sessile_is_found_in_kvasir(kvasir_dir, shared_dir, tmp_path):
    """170 of its names are in the training list, 25 in the validation list."""
    names = shared_dir / 'data' / 'kvasir-sessile' / 'names.txt'
    status, record = run(tmp_path, kvasir_dir, '--list', f'test={names}')
    assert status == 3
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
def test_raw_layouts_are_clean(shared_dir, tmp_path, name, suffix, rule, encodings, images):
    folder = shared_dir / 'data' / name
    if not folder.is_dir():
        pytest.skip(f'needs {name}')
    status, record = run(tmp_path, folder, '--seg-map-suffix', suffix)
    (split,) = record['data_sets'][0]['splits']
    assert (status, record['findings']) == (0, [])
    assert (split['mask_rule'], split['encodings'], split['pairs']) == (rule, encodings, images)
