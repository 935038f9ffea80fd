"""Which prediction belongs to which truth, and files that cannot be read."""

import csv
from pathlib import Path

import numpy as np
import pytest
from folders import refuse, score, write
from PIL import Image

NAMES = 'abcd'


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Four masks, one of them BMP, and masks moved by a pixel as predictions."""
    for i, name in enumerate(NAMES):
        mask = np.zeros((20, 24 + i), np.uint8)
        mask[4 : 10 + i, 5:12] = 255
        write(tmp_path / 'gt' / f'{name}.{"bmp" if name == "b" else "png"}', mask)
        write(tmp_path / 'pred' / f'{name}.png', np.roll(mask, 1, axis=1))
    return tmp_path


def test_missing_and_extra_predictions(data: Path, capsys: pytest.CaptureFixture) -> None:
    (data / 'pred' / 'c.png').rename(data / 'pred' / 'z.png')
    message = refuse(capsys, data)
    assert 'c has no prediction' in message
    assert 'z.png has no truth' in message
    assert '--allow-missing' in message
    report = score(data, '--allow-missing')
    assert (report['images'], report['missing'], report['extra']) == (3, ['c'], ['z.png'])
    out = capsys.readouterr().out
    assert 'left out: 1 truth without a prediction: c' in out
    assert 'left out: 1 prediction without a truth: z.png' in out


def test_a_list_selects(data: Path, capsys: pytest.CaptureFixture) -> None:
    names = data / 'names.txt'
    names.write_text('d.jpg\r\na\r\n')
    report = score(data, '--list', names, '--csv', data / 'a.csv')
    assert (report['images'], report['extra']) == (2, [])
    rows = list(csv.DictReader((data / 'a.csv').open(newline='')))
    assert [row['img_path'] for row in rows] == ['d', 'a']
    for text, message in (
        ('a\nx', 'x has no truth'),
        ('a\na', 'a is named 2 times'),
        ('a\na.png', 'is named twice, in two spellings'),
        ('', 'names.txt holds no name'),
    ):
        names.write_text(text)
        assert message in refuse(capsys, data, '--list', names)
    Image.new('L', (9, 9)).save(data / 'picture.png')
    for name in ('nothing.txt', 'picture.png'):
        message = refuse(capsys, data, '--list', data / name)
        assert f'{name} cannot be read as a list of names' in message


def test_suffixes_and_folders_within(data: Path) -> None:
    expected = score(data)['results']
    for name in NAMES:
        (mask,) = (data / 'gt').glob(f'{name}.*')
        for path, suffix in ((mask, '_segmentation'), (data / 'pred' / f'{name}.png', '_out')):
            (path.parent / 'x').mkdir(exist_ok=True)
            path.rename(path.parent / 'x' / f'{name}{suffix}{path.suffix}')
    options = ('--gt-suffix', '_segmentation', '--pred-suffix', '_out.png')
    report = score(data, *options, '--csv', data / 'a.csv')
    assert report['results'] == expected
    row = next(csv.DictReader((data / 'a.csv').open(newline='')))
    assert row['img_path'] == 'x/a'


def test_ambiguous_prediction(data: Path, capsys: pytest.CaptureFixture) -> None:
    write(data / 'pred' / 'a.bmp', np.zeros((20, 24)))
    assert 'prediction of a is ambiguous: a.bmp, a.png' in refuse(capsys, data)


def test_nothing_in_common(data: Path, capsys: pytest.CaptureFixture) -> None:
    (data / 'other').mkdir()
    message = refuse(capsys, data, '--allow-missing', pred='other')
    assert 'no prediction has the name of a truth' in message
    assert 'no such folder of predictions' in refuse(capsys, data, pred='nowhere')


def test_files_that_cannot_be_read(data: Path, capsys: pytest.CaptureFixture) -> None:
    (data / 'pred' / 'a.png').write_bytes(b'no image')
    Image.fromarray(np.zeros((20, 25), np.uint16)).save(data / 'pred' / 'b.png')
    message = refuse(capsys, data)
    assert 'a.png: unreadable' in message
    assert 'b.png: has more than 8 bits' in message


def test_two_scales_in_one_folder(data: Path, capsys: pytest.CaptureFixture) -> None:
    """Half of 0 and 255, half of 0 and 1: the second half would count as empty."""
    expected = score(data)['results']['image/mDice']
    values = {path: np.array(Image.open(path)) for path in sorted((data / 'pred').iterdir())}
    for path in list(values)[2:]:
        write(path, values[path] // 255)
    message = refuse(capsys, data)
    assert 'b.png is of 0..255' in message
    assert 'c.png holds no value above 32, as labels do (2 of 4 files)' in message
    label, probability = (
        score(data, '--pred-mode', mode)['results']['image/mDice']
        for mode in ('label', 'probability')
    )
    assert label == expected
    assert probability < 0.6 * expected
    (a, mask), *_ = values.items()
    a.unlink()
    write(a.with_suffix('.jpg'), mask)  # near 0 and 255
    assert 'c.png holds no value above 32' in refuse(capsys, data)


def test_the_folder_of_the_truths_is_no_prediction(
    data: Path, capsys: pytest.CaptureFixture
) -> None:
    (data / 'link').symlink_to(data / 'gt')
    for pred in ('gt', 'link', 'pred/../gt'):
        message = refuse(capsys, data, pred=pred)
        assert 'PRED and GT share files, which would be scored against themselves' in message
        assert f'{data / pred / "a.png"} is {data / "gt" / "a.png"}' in message
    for kind in ('pred', 'gt'):  # in one folder, told apart by their names
        for path in (data / kind).iterdir():
            write(data / 'both' / f'{path.stem}_{kind}.png', np.array(Image.open(path)))
    options = ('--pred-suffix', '_pred', '--gt-suffix', '_gt')
    assert score(data, *options, pred='both', gt='both')['results'] == score(data)['results']
