"""LoadBinaryMask: a mask file becomes 0, 1 and 255 (ignored), by the mode that is chosen."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers import blob, mask_file
from mmengine.dataset import Compose
from mmseg.datasets.transforms import LoadAnnotations
from mmseg.registry import TRANSFORMS
from PIL import Image

from condseg_mmseg.datasets import LoadBinaryMask, LoadSoftMask
from condseg_mmseg.datasets.load_binary_mask import binarize
from condseg_mmseg.utils.image_files import FileDefect


def binarise(mask: np.ndarray, **options) -> np.ndarray:
    out = binarize(np.asarray(mask, np.uint8), **options)
    assert out.dtype == np.uint8
    return out


def jpeg(mask: np.ndarray, quality: int = 75) -> np.ndarray:
    return cv2.imdecode(cv2.imencode('.jpg', mask, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 0)


# ---------------------------------------------------------------------------- the function


def test_threshold_is_exclusive() -> None:
    mask = np.array([[0, 127, 128, 255]])
    assert binarise(mask, mode='threshold').tolist() == [[0, 0, 1, 1]]
    assert binarise(mask, mode='threshold', threshold=128).tolist() == [[0, 0, 0, 1]]
    assert binarise(mask, mode='threshold', threshold=0).tolist() == [[0, 1, 1, 1]]


def test_nonzero_takes_every_label() -> None:
    assert binarise([[0, 1, 2, 32, 255]], mode='nonzero').tolist() == [[0, 1, 1, 1, 1]]


@pytest.mark.parametrize('channels', [1, 2, 3, 4])
def test_channels_become_grey(channels: int) -> None:
    mask = np.repeat(blob()[..., None], channels, axis=2)
    if channels in (2, 4):
        mask[..., -1] = 77  # alpha
    assert np.array_equal(binarise(mask), blob() > 127)
    assert np.array_equal(binarise(mask, mode='nonzero'), blob() > 0)


def test_a_dark_label_colour_is_not_rounded_away() -> None:
    mask = np.zeros((4, 4, 3), np.uint8)
    mask[0, 0, 0] = 1  # luminance 0
    assert binarise(mask, mode='nonzero').sum() == 1


def test_ignored_value_becomes_255() -> None:
    assert binarise([[0, 1, 255]], mode='nonzero', ignore_index=255).tolist() == [[0, 1, 255]]
    assert binarise([[0, 128, 255]], mode='threshold', ignore_index=128).tolist() == [[0, 255, 1]]
    colour = np.zeros((1, 2, 3), np.uint8)
    colour[0, 0] = 255
    colour[0, 1, 2] = 255  # a red label is not the ignored white
    assert binarise(colour, mode='nonzero', ignore_index=255).tolist() == [[255, 1]]


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(mode='half'), r"\('auto', 'threshold', 'nonzero'\), got 'half'"),
        (dict(mode='nonzero', threshold=127), 'takes no threshold'),
        (dict(mode='auto', threshold=127), "mode='auto' takes no threshold, got 127"),
        (dict(mode='threshold', threshold=255), r'0\.\.254, got 255'),
        (dict(mode='threshold', threshold=-1), r'0\.\.254, got -1'),
        (dict(ignore_index=256, mode='nonzero'), r'0\.\.255, got 256'),
        (dict(ignore_index=255, mode='threshold'), 'ignore the foreground'),
        (dict(ignore_index=255), 'ignore the foreground'),
    ],
)
def test_wrong_options(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LoadBinaryMask(**options)


def test_values_decide_file_by_file() -> None:
    assert binarise([[0, 1], [1, 0]]).tolist() == [[0, 1], [1, 0]]
    assert binarise([[0, 0]]).tolist() == [[0, 0]]
    assert binarise([[1, 1]]).tolist() == [[1, 1]]
    assert binarise([[0, 255]]).tolist() == [[0, 1]]
    assert binarise([[255, 255]]).tolist() == [[1, 1]]
    noisy = jpeg(blob(200, 200))
    assert len(np.unique(noisy)) > 20
    assert np.array_equal(binarise(noisy), noisy > 127)


@pytest.mark.parametrize('channels', [1, 2, 3, 4])
def test_channels_of_either_encoding(channels: int) -> None:
    for mask in (blob(), blob() // 255):
        many = np.repeat(mask[..., None], channels, axis=2)
        if channels in (2, 4):
            many[..., -1] = 77  # alpha
        assert np.array_equal(binarise(many), blob() > 127)
    dark = np.zeros((2, 2, 3), np.uint8)
    dark[0, 0, 0] = 1  # luminance 0
    assert binarise(dark).sum() == 1


def test_a_value_may_be_ignored_in_either_encoding() -> None:
    assert binarise([[0, 1, 7]], ignore_index=7).tolist() == [[0, 1, 255]]
    assert binarise([[0, 255, 128]], ignore_index=128).tolist() == [[0, 1, 255]]


# --------------------------------------------------------------------------- the transform


@pytest.mark.parametrize('mode', ['L', 'LA', 'RGB', 'RGBA', 'P'])
def test_a_file_is_decoded_as_by_mmseg(tmp_path: Path, mode: str) -> None:
    results = mask_file(tmp_path, blob())
    Image.open(results['seg_map_path']).convert(mode).save(tmp_path / 'mask.png')
    theirs = dict(results, seg_fields=[], reduce_zero_label=False, label_map=None)
    decoded = LoadAnnotations()(theirs)['gt_seg_map']
    out = LoadBinaryMask(mode='nonzero')(results)
    assert np.array_equal(out['gt_seg_map'], binarize(decoded, 'nonzero'))
    assert np.array_equal(out['gt_seg_map'], blob() > 0)
    assert out['seg_fields'] == ['gt_seg_map']


def test_options_reach_the_function(tmp_path: Path) -> None:
    def load(**options) -> list:
        results = mask_file(tmp_path, np.uint8([[0, 40, 230, 255] + 46 * [0]]))
        return LoadBinaryMask(**options)(results)['gt_seg_map'][0, :4].tolist()

    assert load(mode='threshold') == [0, 0, 1, 1]
    assert load(mode='threshold', threshold=230) == [0, 0, 0, 1]
    assert load(mode='nonzero', ignore_index=255) == [0, 1, 1, 255]


def test_what_a_config_cannot_mean_stops_with_the_file(tmp_path: Path) -> None:
    results = mask_file(tmp_path, np.uint8([[0, 90, 255]] * 9))
    for _ in range(2):
        with pytest.raises(ValueError, match=r'neither a mask of 0 and 1 nor') as caught:
            LoadBinaryMask()(dict(results))
        assert str(caught.value).startswith(results['seg_map_path'])
        assert '\n' not in str(caught.value)


def colours_of(first: tuple, second: tuple) -> np.ndarray:
    return np.where(blob()[..., None] > 0, np.uint8(first), np.uint8(second))


_YELLOW, _BLUE, _BLACK, _GREEN = (255, 255, 0), (0, 0, 255), (0, 0, 0), (0, 255, 0)


@pytest.mark.parametrize(
    ('mode', 'mask', 'message'),
    [
        ('threshold', blob() // 255, r"highest value is 1, .* LoadBinaryMask\(mode='nonzero'\)"),
        ('threshold', colours_of(_YELLOW, _BLUE), r'75\.6 % .* bright colour .* background'),
        ('auto', colours_of(_YELLOW, _BLUE), r'75\.6 % of its pixels have a bright colour'),
        ('auto', colours_of((255,) * 3, _BLUE), 'besides 0 and 255 are low ones such as 29'),
        ('nonzero', colours_of(_YELLOW, _BLUE), 'no pixel is 0'),
        ('nonzero', 1 + blob() // 255, 'no pixel is 0'),
        ('auto', np.dstack([0 * blob(), blob()]), 'only its alpha channel varies'),
        ('threshold', np.dstack([*[0 * blob()] * 3, blob()]), 'only its alpha channel varies'),
        ('nonzero', np.dstack([*[0 * blob() + 255] * 3, blob()]), 'only its alpha channel varies'),
    ],
)
def test_values_that_do_not_fit_the_mode_stop_with_the_file(
    tmp_path: Path, mode: str, mask: np.ndarray, message: str
) -> None:
    results = mask_file(tmp_path, mask)
    with pytest.raises(FileDefect, match=message) as error:
        LoadBinaryMask(mode=mode)(results)
    assert str(error.value).startswith(results['seg_map_path'])
    assert error.value.kind == 'mask-values'


@pytest.mark.parametrize('mode', ['auto', 'threshold', 'nonzero'])
def test_one_mask_may_be_empty_full_or_of_one_colour_on_black(tmp_path: Path, mode: str) -> None:
    for mask, share in (
        (0 * blob(), 0),
        (0 * blob() + 255, 1),
        (np.dstack([blob(), blob() * 0 + 77]), (blob() > 0).mean()),
        (colours_of(_GREEN, _BLACK)[:, :10], (blob()[:, :10] > 0).mean()),
    ):
        assert LoadBinaryMask(mode=mode)(mask_file(tmp_path, mask))['gt_seg_map'].mean() == share
    with pytest.raises(FileDefect, match='only its alpha'):
        LoadSoftMask()(mask_file(tmp_path, np.dstack([0 * blob(), blob()])))


def test_wrong_size_names_file_and_both_sizes(tmp_path: Path) -> None:
    results = mask_file(tmp_path, np.zeros((30, 40), np.uint8), ori_shape=(50, 60))
    with pytest.raises(ValueError, match='40 x 30, its image is 60 x 50') as error:
        LoadBinaryMask()(results)
    assert str(error.value).startswith(results['seg_map_path'])


def test_without_a_mask_nothing_happens() -> None:
    results = dict(img=np.zeros((4, 4, 3)), ori_shape=(9, 9), img_shape=(4, 4))
    assert LoadBinaryMask()(dict(results)).keys() == results.keys()


def test_loading_twice_is_loading_once(tmp_path: Path) -> None:
    results = mask_file(tmp_path, blob())
    shared = results['seg_fields']
    out = Compose([LoadBinaryMask(), LoadBinaryMask()])(results)
    assert out['seg_fields'] == ['gt_seg_map']
    assert np.array_equal(out['gt_seg_map'], blob() > 0)
    assert shared == []  # a list of the data set stays as it was


def test_registered_and_printable() -> None:
    transform = TRANSFORMS.build(dict(type='mmseg.LoadBinaryMask', mode='nonzero'))
    assert repr(transform) == "LoadBinaryMask(mode='nonzero', threshold=None, ignore_index=None)"
    assert 'threshold=127' in repr(LoadBinaryMask(mode='threshold'))


# ----------------------------------------------------------------------------- real masks


def test_glas_labels_need_the_nonzero_mode(shared_dir: Path) -> None:
    mask = np.array(Image.open(shared_dir / 'data' / 'glas' / 'train_1_anno.bmp'))
    share = binarise(mask, mode='nonzero').mean()
    assert 0.1 < share < 0.9
    assert share == (mask > 0).mean()
    assert binarise(mask, mode='threshold').sum() == 0


def test_real_masks_are_cut_above_127(shared_dir: Path) -> None:
    data = shared_dir / 'data'
    white = sorted((data / 'isic2017-val').glob('*_segmentation.png'))
    noisy = sorted((data / 'kvasir-seg' / 'masks').glob('*.jpg'))[::50]
    assert (len(white), len(noisy)) == (20, 20)
    for path in (*white, *noisy):
        mask = np.array(Image.open(path))
        grey = mask if mask.ndim == 2 else mask[..., 1]
        assert (binarise(mask) != (grey > 127)).mean() < 1e-4
