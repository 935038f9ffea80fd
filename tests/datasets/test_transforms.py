"""BinarizeMask, ScoreAtInputSize, and what the shipped pipelines do to image and mask."""

import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers import blob, mask_sample
from mmengine.dataset import Compose
from mmseg.registry import TRANSFORMS
from PIL import Image

import condseg_mmseg  # noqa: F401
from condseg_mmseg.datasets import BinarizeMask, ResizeWithMask, ScoreAtInputSize
from condseg_mmseg.datasets.transforms import suspicion, to_grey

CONFIGS = ('kvasir_seg', 'kvasir_seg_160x160')


def binarise(mask: np.ndarray, **options) -> np.ndarray:
    out = BinarizeMask(**options)(mask_sample(np.asarray(mask, np.uint8)))['gt_seg_map']
    assert out.dtype == np.uint8
    return out


# ------------------------------------------------------------------------- BinarizeMask


def test_threshold_is_exclusive() -> None:
    mask = np.array([[0, 127, 128, 255]])
    assert binarise(mask).tolist() == [[0, 0, 1, 1]]
    assert binarise(mask, threshold=128).tolist() == [[0, 0, 0, 1]]
    assert binarise(mask, threshold=0).tolist() == [[0, 1, 1, 1]]


def test_nonzero_takes_every_label() -> None:
    assert binarise([[0, 1, 2, 32, 255]], mode='nonzero').tolist() == [[0, 1, 1, 1, 1]]


@pytest.mark.parametrize('channels', [1, 2, 3, 4])
def test_channels_become_grey(channels: int) -> None:
    mask = np.repeat(blob()[..., None], channels, axis=2)
    if channels in (2, 4):
        mask[..., -1] = 77  # alpha
    assert np.array_equal(binarise(mask), blob() > 127)
    assert np.array_equal(binarise(mask, mode='nonzero'), blob() > 0)


def test_grey_is_the_luminance_of_bgr() -> None:
    red, blue = np.zeros((1, 1, 3), np.uint8), np.zeros((1, 1, 3), np.uint8)
    red[..., 2], blue[..., 0] = 255, 255
    assert (to_grey(red).item(), to_grey(blue).item()) == (76, 29)
    with pytest.raises(ValueError, match=r'\(H, W, 1..4\), got \(1, 1, 5\)'):
        to_grey(np.zeros((1, 1, 5), np.uint8))


def test_a_dark_label_colour_is_not_rounded_away() -> None:
    mask = np.zeros((4, 4, 3), np.uint8)
    mask[0, 0, 0] = 1  # luminance 0
    assert binarise(mask, mode='nonzero').sum() == 1


def test_ignored_value_becomes_255() -> None:
    assert binarise([[0, 1, 255]], mode='nonzero', ignore_index=255).tolist() == [[0, 1, 255]]
    assert binarise([[0, 128, 255]], ignore_index=128).tolist() == [[0, 255, 1]]
    colour = np.zeros((1, 2, 3), np.uint8)
    colour[0, 0] = 255
    colour[0, 1, 2] = 255  # a red label is not the ignored white
    assert binarise(colour, mode='nonzero', ignore_index=255).tolist() == [[255, 1]]


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(mode='half'), "'threshold', 'nonzero' or 'auto', got 'half'"),
        (dict(mode='nonzero', threshold=127), 'takes no threshold'),
        (dict(mode='auto', threshold=127), "mode='auto' takes no threshold, got 127"),
        (dict(threshold=255), r'0\.\.254, got 255'),
        (dict(threshold=-1), r'0\.\.254, got -1'),
        (dict(ignore_index=256, mode='nonzero'), r'0\.\.255, got 256'),
        (dict(ignore_index=255), 'ignore the foreground'),
        (dict(ignore_index=255, mode='auto'), 'ignore the foreground'),
    ],
)
def test_wrong_options_of_binarize(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BinarizeMask(**options)


def test_wrong_size_names_file_and_both_sizes() -> None:
    results = mask_sample(np.zeros((30, 40), np.uint8), ori_shape=(50, 60))
    with pytest.raises(ValueError, match='40 x 30, its image is 60 x 50') as error:
        BinarizeMask()(results)
    assert results['seg_map_path'] in str(error.value)


def test_twice_is_an_error() -> None:
    results = BinarizeMask()(mask_sample(blob()))
    with pytest.raises(ValueError, match='binarised already'):
        BinarizeMask()(results)


def test_without_a_mask_nothing_happens() -> None:
    results = dict(img=np.zeros((4, 4, 3)), ori_shape=(9, 9), img_shape=(4, 4))
    assert ScoreAtInputSize()(BinarizeMask()(results))['ori_shape'] == (9, 9)


def test_registered_and_printable() -> None:
    transform = TRANSFORMS.build(dict(type='mmseg.BinarizeMask', mode='nonzero'))
    assert repr(transform) == "BinarizeMask(threshold=None, mode='nonzero', ignore_index=None)"
    transform = TRANSFORMS.build(dict(type='mmseg.ScoreAtInputSize'))
    assert repr(transform) == 'ScoreAtInputSize()'


# --------------------------------------------------------------------- suspicious values


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


GOOD = [
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
    ('jpeg', lambda: jpeg(blob(200, 200), 95), None, r'like a JPEG .*threshold=127'),
    ('soft rim', lambda: cv2.GaussianBlur(blob(), (5, 5), 0), None, 'soft mask'),
    ('noise', noise, None, 'without areas of one label'),
]


@pytest.mark.parametrize(('name', 'make', 'threshold'), GOOD)
def test_proper_masks_raise_no_suspicion(name: str, make, threshold: int | None) -> None:
    assert suspicion(make(), threshold) == ''


@pytest.mark.parametrize(('name', 'make', 'threshold', 'message'), BAD)
def test_suspicious_masks_warn_with_the_file(
    name: str, make, threshold: int | None, message: str
) -> None:
    transform = BinarizeMask() if threshold else BinarizeMask(mode='nonzero')
    results = mask_sample(make())
    with pytest.warns(UserWarning, match=message) as caught:
        transform(dict(results))
    assert results['seg_map_path'] in str(caught[0].message)
    with warnings.catch_warnings():  # the second time is quiet
        warnings.simplefilter('error')
        transform(dict(results))


# --------------------------------------------------------------------- ScoreAtInputSize


def at_input_size(results: dict, size: tuple) -> dict:
    return ScoreAtInputSize()(results | dict(img_shape=size))


@pytest.mark.parametrize('options', [{}, dict(mode='auto'), dict(mode='nonzero')])
@pytest.mark.parametrize('size', [(32, 48), (160, 160), (50, 33)])
def test_a_binarised_mask_is_resized_bilinearly_and_cut(options: dict, size: tuple) -> None:
    mask = blob(101, 67)
    out = at_input_size(BinarizeMask(**options)(mask_sample(mask)), size)
    assert out['ori_shape'] == out['img_shape'] == size
    share = cv2.resize(mask, size[::-1], interpolation=cv2.INTER_LINEAR) / 255
    assert np.array_equal(out['gt_seg_map'], share > 0.5)
    nearest = cv2.resize(mask, size[::-1], interpolation=cv2.INTER_NEAREST)
    assert not np.array_equal(out['gt_seg_map'], nearest > 0)


def test_ignored_pixels_stay_ignored_at_the_input_size() -> None:
    mask = np.repeat(np.array([[0, 1, 9, 9]], np.uint8), 4, axis=0).repeat(4, axis=1)
    cut = BinarizeMask(mode='nonzero', ignore_index=9)(mask_sample(mask))
    assert at_input_size(cut, (2, 8))['gt_seg_map'].tolist() == [[0, 0, 1, 1, *[255] * 4]] * 2


def test_what_is_not_binarised_is_a_label_map() -> None:
    mask = labels()
    out = at_input_size(mask_sample(mask), (13, 13))['gt_seg_map']
    centres = np.floor((np.arange(13) + 0.5) * 40 / 13).astype(int)
    assert np.array_equal(out, mask[np.ix_(centres, centres)])


def test_a_mask_resized_with_its_image_stays() -> None:
    image = np.zeros((60, 90, 3), np.uint8)
    resize = ResizeWithMask(scale=(30, 20))
    resized = resize(BinarizeMask()(mask_sample(blob(60, 90), img=image)))
    mask = resized['gt_seg_map'].copy()
    out = ScoreAtInputSize()(resized)
    assert out['ori_shape'] == (20, 30)
    assert np.array_equal(out['gt_seg_map'], mask)


def test_errors_of_score_at_input_size() -> None:
    results = mask_sample(np.zeros((20, 30), np.uint8), ori_shape=(60, 90))
    results['img_shape'] = (32, 32)
    with pytest.raises(ValueError, match='30 x 20, its image is 90 x 60'):
        ScoreAtInputSize()(results)
    results = mask_sample(blob(60, 90), img=np.zeros((60, 90, 3), np.uint8))
    plain = TRANSFORMS.build(dict(type='Resize', scale=(30, 20)))
    with pytest.raises(ValueError, match=r'Resize takes the nearest pixel .* use ResizeWithMask'):
        ScoreAtInputSize()(plain(BinarizeMask()(results)))
    with pytest.raises(ValueError, match='resized already; put BinarizeMask right after Load'):
        BinarizeMask()(at_input_size(mask_sample(blob()), (32, 48)))


def padded(tmp_path: Path, *pad_and_rest: dict) -> dict:
    cv2.imwrite(str(tmp_path / 'image.png'), np.full((60, 90, 3), 200, np.uint8))
    cv2.imwrite(str(tmp_path / 'mask.png'), blob(60, 90))
    pipeline = Compose(
        [
            dict(type='LoadImageFromFile'),
            dict(type='Resize', scale=(64, 64), keep_ratio=True),
            *pad_and_rest,
        ]
    )
    info = dict(img_path=str(tmp_path / 'image.png'), seg_map_path=str(tmp_path / 'mask.png'))
    return pipeline(info | dict(reduce_zero_label=False, label_map=None, seg_fields=[]))


LOAD, SCORE = dict(type='LoadAnnotations'), dict(type='ScoreAtInputSize')


@pytest.mark.parametrize('pad', [dict(size=(64, 64)), dict(size_divisor=32)])
@pytest.mark.parametrize('load_first', [False, True])
def test_a_mask_is_not_stretched_over_padding(tmp_path: Path, pad: dict, load_first: bool) -> None:
    pad = dict(type='Pad', **pad)
    with pytest.raises(ValueError, match=r'64 x 43 to 64 x 64.*must come before Pad') as caught:
        padded(tmp_path, *((LOAD, pad) if load_first else (pad, LOAD)), SCORE)
    assert 'image.png' in str(caught.value) or 'mask.png' in str(caught.value)


def test_padding_that_is_none_or_comes_later_is_no_error(tmp_path: Path) -> None:
    nothing = padded(tmp_path, dict(type='Pad', size=(64, 43)), LOAD, SCORE)
    plain = padded(tmp_path, LOAD, SCORE)
    assert plain['gt_seg_map'].shape == nothing['ori_shape'] == (43, 64)
    assert np.array_equal(nothing['gt_seg_map'], plain['gt_seg_map'])
    later = padded(tmp_path, LOAD, SCORE, dict(type='Pad', size=(64, 64)))
    assert np.array_equal(later['gt_seg_map'][:43], plain['gt_seg_map'])
    assert (later['gt_seg_map'][43:] == 255).all()


# ---------------------------------------------------------------------------- real masks


def test_glas_labels_need_the_nonzero_mode(shared_dir: Path) -> None:
    mask = np.array(Image.open(shared_dir / 'data' / 'glas' / 'train_1_anno.bmp'))
    share = binarise(mask, mode='nonzero').mean()
    assert 0.1 < share < 0.9
    assert share == (mask > 0).mean()
    with pytest.warns(UserWarning, match="mode='nonzero'"):
        assert binarise(mask).sum() == 0


def test_isic_masks_are_binary(shared_dir: Path) -> None:
    path = next((shared_dir / 'data' / 'isic2017-val').glob('*_segmentation.png'))
    mask = np.array(Image.open(path))
    assert np.array_equal(binarise(mask), mask == 255)
