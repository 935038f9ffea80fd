"""ScoreAtInputSize: the mask at the network's input size, as the published scores take it."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers import blob, mask_file, mask_sample
from mmengine.dataset import Compose
from mmseg.registry import TRANSFORMS

from condseg_mmseg.datasets import LoadBinaryMask, ResizeWithMask, ScoreAtInputSize

LOAD, SCORE = dict(type='LoadBinaryMask'), dict(type='ScoreAtInputSize')
SIZE = (24, 32)


@pytest.mark.parametrize('options', [{}, dict(mode='threshold'), dict(mode='nonzero')])
@pytest.mark.parametrize('size', [(32, 48), (160, 160), (50, 33)])
def test_a_mask_is_resized_bilinearly_and_cut(tmp_path: Path, options: dict, size: tuple) -> None:
    mask = blob(101, 67)
    loaded = LoadBinaryMask(**options)(mask_file(tmp_path, mask, img_shape=size))
    out = ScoreAtInputSize()(loaded)
    assert out['ori_shape'] == out['img_shape'] == size
    share = cv2.resize(mask, size[::-1], interpolation=cv2.INTER_LINEAR) / 255
    assert np.array_equal(out['gt_seg_map'], share > 0.5)
    nearest = cv2.resize(mask, size[::-1], interpolation=cv2.INTER_NEAREST)
    assert not np.array_equal(out['gt_seg_map'], nearest > 0)


def test_ignored_pixels_stay_ignored(tmp_path: Path) -> None:
    mask = np.repeat(np.array([[0, 1, 9, 9]], np.uint8), 4, axis=0).repeat(4, axis=1)
    cut = LoadBinaryMask(mode='nonzero', ignore_index=9)(mask_file(tmp_path, mask))
    out = ScoreAtInputSize()(cut | dict(img_shape=(2, 8)))
    assert out['gt_seg_map'].tolist() == [[0, 0, 1, 1, *[255] * 4]] * 2


def test_labels_take_those_under_the_centres() -> None:
    mask = np.random.default_rng(0).integers(0, 9, (40, 40), dtype=np.uint8)
    score = TRANSFORMS.build(dict(type='mmseg.ScoreAtInputSize', labels=True))
    out = score(mask_sample(mask, img_shape=(13, 13)))['gt_seg_map']
    centres = np.floor((np.arange(13) + 0.5) * 40 / 13).astype(int)
    assert np.array_equal(out, mask[np.ix_(centres, centres)])
    assert repr(score) == 'ScoreAtInputSize(labels=True)'
    with pytest.raises(ValueError, match=r'^mask\.png: the mask holds \[2, 3, .* labels=True'):
        ScoreAtInputSize()(mask_sample(mask, img_shape=(13, 13)))


@pytest.mark.parametrize('size', [(37, 53), SIZE, (11, 17)])
def test_both_encodings_score_the_same(tmp_path: Path, size: tuple) -> None:
    mask = blob(*size)
    white, one = scored(tmp_path, mask), scored(tmp_path, mask // 255)
    assert np.array_equal(white, one)
    assert np.array_equal(one, cv2.resize(mask, (32, 24), interpolation=cv2.INTER_LINEAR) > 127)
    assert 0 < one.sum() < one.size


def scored(tmp_path: Path, mask: np.ndarray) -> np.ndarray:
    """Run a test pipeline at 24 x 32 on a mask file of any size."""
    cv2.imwrite(str(tmp_path / 'image.png'), np.zeros((*mask.shape, 3), np.uint8))
    results = mask_file(tmp_path, mask) | dict(img_path=str(tmp_path / 'image.png'))
    resize, pack = dict(type='ResizeWithMask', scale=(32, 24)), dict(type='PackSegInputs')
    packed = Compose([dict(type='LoadImageFromFile'), resize, LOAD, SCORE, pack])(results)
    assert packed['data_samples'].ori_shape == SIZE
    return packed['data_samples'].gt_sem_seg.data[0].numpy()


def test_an_object_may_vanish_in_the_resize(tmp_path: Path) -> None:
    mask = np.zeros((48, 64), np.uint8)
    mask[10, 20] = 255
    assert cv2.resize(mask, (32, 24), interpolation=cv2.INTER_LINEAR).max() == 64
    assert scored(tmp_path, mask).sum() == 0
    mask[10, 20:22] = 255  # half of one new pixel
    assert scored(tmp_path, mask).sum() == 1


def test_without_a_mask_the_prediction_keeps_the_size_of_the_file() -> None:
    results = dict(img=np.zeros((4, 4, 3)), ori_shape=(9, 9), img_shape=(4, 4))
    assert ScoreAtInputSize()(results)['ori_shape'] == (9, 9)


def test_a_mask_that_was_resized_with_the_image_is_refused() -> None:
    sample = mask_sample(blob(60, 90) // 255, img=np.zeros((60, 90, 3), np.uint8))
    for resize in (
        ResizeWithMask,
        lambda scale: TRANSFORMS.build(dict(type='Resize', scale=scale)),
    ):
        resized = resize(scale=(30, 20))(dict(sample))
        with pytest.raises(ValueError, match=r'30 x 20, its image is 90 x 60; load it after'):
            ScoreAtInputSize()(resized)


def test_a_soft_mask_is_refused() -> None:
    soft = mask_sample(blob().astype(np.float32) / 255)
    with pytest.raises(ValueError, match='LoadSoftMask is for training; for scores use LoadBinary'):
        ScoreAtInputSize()(soft)


@pytest.mark.parametrize('pad', [dict(size=(64, 64)), dict(size_divisor=32)])
def test_padding_comes_later(pad: dict) -> None:
    """A mask of the file must not be stretched over the padding."""
    pad = dict(type='Pad', **pad)
    resize = dict(type='Resize', scale=(64, 64), keep_ratio=True)
    image = np.full((60, 90, 3), 200, np.uint8)

    def run(*steps: dict) -> dict:
        results = Compose([resize, *steps[:-1]])(dict(img=image, img_shape=image.shape[:2]))
        mask = dict(gt_seg_map=blob(60, 90) // 255, ori_shape=(60, 90), seg_map_path='mask.png')
        return TRANSFORMS.build(steps[-1])(results | mask | dict(seg_fields=['gt_seg_map']))

    with pytest.raises(ValueError, match=r'^mask\.png: Pad comes after ScoreAtInputSize'):
        run(pad, SCORE)
    scored = run(SCORE)
    later = TRANSFORMS.build(pad)(dict(scored))['gt_seg_map']
    assert np.array_equal(later[:43], scored['gt_seg_map'])
    assert (later[43:] == 255).all()
