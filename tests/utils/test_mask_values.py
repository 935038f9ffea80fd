"""What the values of a mask mean: 0/1 and 0/255 told apart, the rest refused."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers import blob
from PIL import Image

from condseg_mmseg.utils.mask_values import channel_max, mask_scale, suspicion, to_grey


def test_grey_is_the_luminance_of_bgr() -> None:
    red, blue = np.zeros((1, 1, 3), np.uint8), np.zeros((1, 1, 3), np.uint8)
    red[..., 2], blue[..., 0] = 255, 255
    assert (to_grey(red).item(), to_grey(blue).item()) == (76, 29)
    with pytest.raises(ValueError, match=r'\(H, W, 1..4\), got \(1, 1, 5\)'):
        to_grey(np.zeros((1, 1, 5), np.uint8))


def test_the_largest_channel_keeps_a_dark_label() -> None:
    dark = np.zeros((2, 2, 3), np.uint8)
    dark[0, 0, 0] = 1  # luminance 0
    assert channel_max(dark).tolist() == [[1, 0], [0, 0]]


def test_values_of_an_empty_array() -> None:
    nothing = np.zeros((0, 4), np.uint8)
    assert (mask_scale(nothing), suspicion(nothing, 127), suspicion(nothing, None)) == (1, '', '')


def jpeg(mask: np.ndarray, quality: int) -> np.ndarray:
    return cv2.imdecode(cv2.imencode('.jpg', mask, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 0)


def labels() -> np.ndarray:
    mask = np.zeros((40, 40), np.uint8)
    mask[5:20, 5:20], mask[25:35, 5:20], mask[5:35, 25:35] = 1, 2, 30
    return mask


def instances() -> np.ndarray:
    """196 cells of 6 x 6 pixels, as in sets of nuclei."""
    mask = np.zeros((112, 112), np.uint8)
    for i in range(196):
        y, x = divmod(i, 14)
        mask[8 * y : 8 * y + 6, 8 * x : 8 * x + 6] = i + 1
    return mask


def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)


def voc() -> np.ndarray:
    mask = labels()
    mask[:, :2] = 255
    return mask


def film() -> np.ndarray:
    """A frame of a film whose black bar is 11, with noise around it."""
    mask = np.zeros((128, 128), np.uint8)
    mask[:, :16] = 11
    mask[0, :15] = range(1, 16)
    mask[40:90, 40:90] = 255
    return mask


GOOD = [
    ('black bar', film, 127),
    ('binary', blob, 127),
    ('empty', lambda: np.zeros((9, 9), np.uint8), 127),
    ('full', lambda: np.full((9, 9), 255, np.uint8), 127),
    ('jpeg 95', lambda: jpeg(blob(200, 200), 95), 127),
    ('jpeg 50', lambda: jpeg(blob(200, 200), 50), 127),
    ('soft rim', lambda: cv2.GaussianBlur(blob(128, 128), (5, 5), 0), 127),
    ('video range', lambda: (16 + blob().astype(int) * 219 // 255).astype(np.uint8), 127),
    ('binary', blob, None),
    ('zero and one', lambda: blob() // 255, None),
    ('labels', labels, None),
    ('labels and 255', voc, None),
    ('instances', instances, None),
]
BAD = [
    ('labels', labels, 127, "no pixel is foreground .*mode='nonzero'"),
    ('zero and one', lambda: blob() // 255, 127, 'highest value is 1'),
    ('labels and 255', voc, 127, 'exactly 30, like a label'),
    ('noise', noise, 127, '7. % .*neither near 0 nor near 255'),
    ('instances', instances, 127, 'neither near 0 nor near 255'),
    ('jpeg', lambda: jpeg(blob(200, 200), 95), None, "like a JPEG .*mode='threshold'"),
    ('soft rim', lambda: cv2.GaussianBlur(blob(), (5, 5), 0), None, 'soft mask'),
    ('noise', noise, None, 'without areas of one label'),
]


@pytest.mark.parametrize(('name', 'make', 'threshold'), GOOD)
def test_proper_masks_raise_no_suspicion(name: str, make, threshold: int | None) -> None:
    assert suspicion(make(), threshold) == ''


@pytest.mark.parametrize(('name', 'make', 'threshold', 'message'), BAD)
def test_suspicious_masks(name: str, make, threshold: int | None, message: str) -> None:
    assert re.search(message, suspicion(make(), threshold))


def bars(*values: int) -> np.ndarray:
    mask = np.zeros((40, 40), np.uint8)
    for i, value in enumerate(values):
        mask[4:36, 10 * i : 10 * i + 8] = value
    return mask


WRONG = [
    ('glas', bars(1, 2, 32), 'its highest value is 32'),
    ('two', bars(2), 'its highest value is 2'),
    ('127', bars(127), 'its highest value is 127'),
    ('empty with noise', np.random.default_rng(0).integers(0, 5, (40, 40)), 'highest value is 4'),
    ('labels and ignored', bars(1, 2, 255), 'exactly 1, like a label'),
    ('few labels and ignored', np.eye(40) + 255 * np.eye(40)[::-1], 'low ones such as 1'),
    ('grey', bars(255, 200, 90), 'neither near 0 nor near 255'),
]


@pytest.mark.parametrize(('name', 'mask', 'message'), WRONG, ids=[w[0] for w in WRONG])
def test_the_rest_is_refused_every_time(name: str, mask: np.ndarray, message: str) -> None:
    for _ in range(2):
        with pytest.raises(ValueError, match=message) as caught:
            mask_scale(np.asarray(mask, np.uint8), 'folder/x.png')
    said = str(caught.value)
    assert said.startswith('folder/x.png: neither a mask of 0 and 1 nor')
    assert "For labels use LoadBinaryMask(mode='nonzero')" in said
    assert 'store an empty mask with noise as zeros' in said
    assert '\n' not in said
    assert said.count(message) == 1


@pytest.mark.parametrize(
    ('mask', 'scale'),
    [([[0, 0]], 1), ([[0, 1]], 1), ([[1, 1]], 1), ([[0, 255]], 255), ([[255, 255]], 255)],
)
def test_scale_of_a_mask(mask: list, scale: int) -> None:
    assert mask_scale(np.uint8(mask)) == scale


def test_real_masks(shared_dir: Path) -> None:
    data = shared_dir / 'data'
    white = sorted((data / 'isic2017-val').glob('*_segmentation.png'))
    noisy = sorted((data / 'kvasir-seg' / 'masks').glob('*.jpg'))[::50]
    assert (len(white), len(noisy)) == (20, 20)
    for path in (*white, *noisy):
        assert mask_scale(np.array(Image.open(path))) == 255
    for path in sorted((data / 'glas').glob('*_anno.bmp')):
        with pytest.raises(ValueError, match=r"mode='nonzero'"):
            mask_scale(np.array(Image.open(path)))
