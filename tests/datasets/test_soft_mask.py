"""SoftMask, ResizeWithSoftMask and PackSoftSegInputs, one by one."""

import cv2
import numpy as np
import pytest
import torch
from helpers import blob, mask_sample
from mmseg.registry import TRANSFORMS

from condseg_mmseg.datasets import BinarizeMask, PackSoftSegInputs, ScoreAtInputSize, SoftMask
from condseg_mmseg.datasets.soft_mask import resize_soft


def soft(mask: np.ndarray) -> np.ndarray:
    out = SoftMask()(mask_sample(np.asarray(mask, np.uint8)))['gt_seg_map']
    assert out.dtype == np.float32
    return out


# ------------------------------------------------------------------------------ SoftMask


def test_grey_values_become_shares() -> None:
    mask = cv2.GaussianBlur(blob(64, 64), (5, 5), 0)
    assert np.array_equal(soft(mask), mask.astype(np.float32) / 255)
    assert np.array_equal(soft(np.repeat(mask[..., None], 3, 2)), mask.astype(np.float32) / 255)
    assert soft([[0, 1], [1, 0]]).tolist() == [[0, 1], [1, 0]]
    assert soft([[0, 255]]).tolist() == [[0, 1]]
    assert soft([[0, 0]]).tolist() == [[0, 0]]


def test_what_soft_mask_refuses() -> None:
    with pytest.raises(ValueError, match=r"highest value is 32.*BinarizeMask\(mode='nonzero'\)"):
        soft([[0, 1, 32]])
    with pytest.raises(ValueError, match='SoftMask must come before the mask is resized'):
        SoftMask()(mask_sample(blob(), ori_shape=(99, 99)))
    with pytest.raises(ValueError, match='BinarizeMask and SoftMask exclude each other'):
        BinarizeMask()(SoftMask()(mask_sample(blob())))
    with pytest.raises(ValueError, match='BinarizeMask and SoftMask exclude each other'):
        SoftMask()(BinarizeMask()(mask_sample(blob())))
    with pytest.raises(ValueError, match='after ScoreAtInputSize use BinarizeMask'):
        SoftMask()(ScoreAtInputSize()(mask_sample(blob())))
    assert SoftMask()(dict(ori_shape=(2, 2))) == dict(ori_shape=(2, 2))
    assert repr(TRANSFORMS.build(dict(type='mmseg.SoftMask'))) == 'SoftMask()'


# --------------------------------------------------------------------------- the resize


def resized(mask: np.ndarray, size: tuple, **options) -> dict:
    """Resize an image of the mask's size and the mask to (height, width)."""
    transform = dict(type='ResizeWithSoftMask', scale=size[::-1], **options)
    results = mask_sample(mask, img=np.zeros((*mask.shape, 3), np.uint8))
    return TRANSFORMS.build(transform)(results)


@pytest.mark.parametrize('size', [(24, 32), (64, 96), (37, 53)])
def test_soft_masks_are_resized_bilinearly_as_grey_ones(size: tuple) -> None:
    out = resized(soft(blob()), size)['gt_seg_map']
    expected = cv2.resize(blob(), size[::-1], interpolation=cv2.INTER_LINEAR)
    assert np.array_equal(out, expected.astype(np.float32) / 255)
    assert ((out > 0) & (out < 1)).any() == (size != (37, 53))
    exact = cv2.resize(soft(blob()), size[::-1], interpolation=cv2.INTER_LINEAR)
    assert np.abs(out - exact).max() <= 1 / 255


def test_classes_are_resized_nearest_as_ever() -> None:
    labels = (blob() > 0).astype(np.uint8)
    labels[:5] = 255
    out = resized(labels, (24, 32))
    plain = TRANSFORMS.build(dict(type='Resize', scale=(32, 24)))
    expected = plain(mask_sample(labels, img=np.zeros((*labels.shape, 3), np.uint8)))
    assert np.array_equal(out['gt_seg_map'], expected['gt_seg_map'])
    assert out['gt_seg_map'].dtype == np.uint8
    assert (out['img_shape'], out['scale_factor']) == (
        expected['img_shape'],
        expected['scale_factor'],
    )


@pytest.mark.parametrize('ratio', [True, False])
def test_masks_get_the_size_of_the_image(ratio: bool) -> None:
    out = resized(soft(blob(40, 80)), (32, 32), keep_ratio=ratio)
    size = (16, 32) if ratio else (32, 32)
    assert out['img'].shape[:2] == out['gt_seg_map'].shape == out['img_shape'] == size


def test_other_resizes_of_mmcv_can_use_it() -> None:
    random = dict(type='RandomResize', scale=(60, 40), ratio_range=(0.5, 0.5))
    transform = TRANSFORMS.build(dict(random, resize_type='ResizeWithSoftMask'))
    out = transform(mask_sample(soft(blob()), img=np.zeros((37, 53, 3), np.uint8)))
    expected = cv2.resize(blob(), (30, 20), interpolation=cv2.INTER_LINEAR) / np.float32(255)
    assert np.array_equal(out['gt_seg_map'], expected)


def test_ignored_pixels_have_no_weight() -> None:
    mask = np.array([[0.2, 0.6, 255, 255], [0.2, 0.6, 255, 0.8]], np.float32)
    # Half the width is the mean of each pair; of a pair that is half ignored the other half.
    assert resize_soft(mask[:1], (1, 2)).tolist() == [[pytest.approx(0.4, abs=1e-6), 255]]
    assert resize_soft(mask[1:], (1, 2))[0] == pytest.approx([0.4, 0.8], abs=1e-6)
    field = np.zeros((40, 60), np.float32)
    field[:, 20:40], field[:, 40:] = 1, 255
    out = resize_soft(field, (13, 17))
    valid = out != 255
    assert ((out[valid] >= 0) & (out[valid] <= 1)).all()  # no 255 has leaked into a mean
    assert (out[:, 12:] == 255).all()
    assert (out[:, 6:11] == 1).all()


# --------------------------------------------------------------------------- the packing


def pack(mask: np.ndarray | None, **more) -> dict:
    results = dict(img=np.zeros((2, 3, 3), np.uint8), img_shape=(2, 3), seg_map_path='x.png')
    results |= {} if mask is None else dict(gt_seg_map=mask)
    return PackSoftSegInputs(meta_keys=('img_shape',))(results | more)


def test_packs_floats_and_the_stored_background() -> None:
    mask = np.array([[0, 0.25, 1], [255, 0.5, 0]], np.float64)
    packed = pack(mask, background_mask=np.float32(1 - mask))
    data = packed['data_samples'].gt_sem_seg.data
    assert data.dtype == torch.float32
    assert data.tolist() == [[[0, 0.25, 1], [255, 0.5, 0]]]
    assert packed['inputs'].shape == (3, 2, 3)
    meta = packed['data_samples'].metainfo
    assert meta['img_shape'] == (2, 3)
    assert np.array_equal(meta['background_mask'], np.float32(1 - mask))
    without = pack(None)['data_samples']
    assert 'gt_sem_seg' not in without
    assert 'background_mask' not in without.metainfo


@pytest.mark.parametrize(
    ('mask', 'message'),
    [
        (np.array([[0, 255]], np.uint8), r'uint8 \(1, 2\) in 0..255: put SoftMask right after'),
        (np.array([[0, 128]], np.float32), r'float32 \(1, 2\) in 0.0..128.0'),
        (np.array([[-0.1, 1]], np.float32), r'in \[0, 1\] or 255'),
        (np.array([[np.nan, 1]], np.float32), r'in nan..nan'),
        (np.zeros((1, 2, 3), np.float32), r'\(1, 2, 3\)'),
    ],
)
def test_only_soft_masks_are_packed(mask: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=rf'^x\.png: .*{message}'):
        pack(mask)


def test_a_soft_mask_resized_nearest_is_refused() -> None:
    results = SoftMask()(mask_sample(blob(), img=np.zeros((37, 53, 3), np.uint8)))
    results = TRANSFORMS.build(dict(type='Resize', scale=(32, 24)))(results)
    with pytest.raises(ValueError, match='nearest value of a soft mask; use ResizeWithSoftMask'):
        PackSoftSegInputs()(results)
