"""What the values of predictions mean: kinds of masks, scales, colours, empty maps."""

import csv
from pathlib import Path

import numpy as np
import pytest
from folders import SHAPES, disc, refuse, score, write
from PIL import Image


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Truths, and grey predictions of the same sizes."""
    for i, (name, shape) in enumerate(SHAPES.items()):
        write(tmp_path / 'gt' / f'{name}.png', 255 * disc(shape, 14, 15 + i, 5 + 2 * i))
        write(tmp_path / 'pred' / f'{name}.png', 200.0 * disc(shape, 15, 13 + i, 6 + i) + 20)
    return tmp_path


def masks(data: Path, make) -> None:
    for name, shape in SHAPES.items():
        image = make(disc(shape, 15, 14, 6).astype(np.uint8))
        (data / 'labels').mkdir(exist_ok=True)
        image.save(data / 'labels' / f'{name}.png')


def palette(mask: np.ndarray) -> Image.Image:
    image = Image.fromarray(mask)
    image.putpalette([0, 0, 0, 0, 255, 0])
    return image


KINDS = {
    'labels 0 and 1': Image.fromarray,
    'palette indices': palette,
    'one bit': lambda m: Image.fromarray(255 * m).convert('1'),
    '0 and 255': lambda m: Image.fromarray(255 * m),
    'grey stored as colours': lambda m: Image.fromarray(255 * m).convert('RGB'),
    'grey and alpha': lambda m: Image.fromarray(255 * m).convert('LA'),
    'colours and alpha': lambda m: Image.fromarray(255 * m).convert('RGBA'),
}


@pytest.mark.parametrize('kind', KINDS)
def test_kinds_of_masks(data: Path, kind: str, capsys: pytest.CaptureFixture) -> None:
    masks(data, KINDS['0 and 255'])
    expected = score(data, pred='labels')['results']
    masks(data, KINDS[kind])
    report = score(data, pred='labels')
    assert report['results'] == expected
    assert 20 < expected['image/mDice'] < 95
    labels = kind in ('labels 0 and 1', 'palette indices')
    assert report['predictions'] == ('labels 0 and 1' if labels else 'binary, 0 and 255')
    assert report['settings']['pred_mode'] == ('label' if labels else 'probability')
    assert report['predictions'] in capsys.readouterr().out


def test_detected_from_all_files_not_one_by_one(data: Path) -> None:
    """A grey map that holds nothing above 1 is nearly empty, not a mask of labels."""
    write(data / 'pred' / 'a.png', np.ones((31, 41)))
    report = score(data, '--csv', data / 'a.csv')
    assert report['predictions'].startswith('grey 0..255')
    assert '; 1 hold nothing above 32, such as ' in report['predictions']
    row = next(csv.DictReader((data / 'a.csv').open(newline='')))
    assert int(row['tp']) + int(row['fp']) == 0


def test_mode_can_be_forced(data: Path) -> None:
    masks(data, lambda m: Image.fromarray(3 * m))
    labels = score(data, '--pred-mode', 'label', pred='labels')
    masks(data, KINDS['0 and 255'])
    assert labels['results'] == score(data, pred='labels')['results']
    assert labels['predictions'] == 'label (forced)'
    masks(data, KINDS['labels 0 and 1'])
    report = score(data, '--pred-mode', 'probability', pred='labels')
    assert report['results']['image/mRecall'] == 0


def test_a_value_at_the_threshold_is_background(data: Path) -> None:
    masks(data, KINDS['0 and 255'])
    expected = score(data, pred='labels')['results']
    assert score(data, '--threshold', 0, pred='labels')['results'] == expected
    masks(data, lambda m: Image.fromarray(51 * m))  # 51 / 255 = 0.2
    assert score(data, '--threshold', 0.2, pred='labels')['results']['image/mRecall'] == 0
    assert score(data, '--threshold', 0.199, pred='labels')['results'] == expected


def test_small_values_fit_two_modes(data: Path, capsys: pytest.CaptureFixture) -> None:
    masks(data, lambda m: Image.fromarray(3 * m))
    message = refuse(capsys, data, pred='labels')
    assert 'the highest value of all predictions is 3' in message
    assert '--pred-mode label' in message


def test_colours(data: Path, capsys: pytest.CaptureFixture) -> None:
    def green(mask):
        return Image.fromarray(mask[..., None] * np.array([0, 200, 0], np.uint8))

    masks(data, green)
    assert 'a.png is in colours' in refuse(capsys, data, pred='labels')
    message = refuse(capsys, data, '--pred-mode', 'probability', pred='labels')
    assert 'a.png is in colours' in message
    found = score(data, '--pred-mode', 'label', pred='labels')['results']
    masks(data, KINDS['0 and 255'])
    assert found == score(data, pred='labels')['results']


def test_empty_predictions(data: Path) -> None:
    masks(data, lambda m: Image.fromarray(0 * m))
    report = score(data, pred='labels')
    assert report['predictions'] == 'all are 0: empty'
    assert report['results']['image/mDice'] == 0
