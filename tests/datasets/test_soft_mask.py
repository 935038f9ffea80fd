"""SoftMask and PackSoftSegInputs, one by one."""

import cv2
import numpy as np
import pytest
import torch
from helpers import blob, mask_sample
from mmseg.registry import TRANSFORMS

from condseg_mmseg.datasets import BinarizeMask, PackSoftSegInputs, ScoreAtInputSize, SoftMask


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
    with pytest.raises(
        ValueError, match='resized already; put SoftMask right after LoadAnnotations'
    ):
        SoftMask()(ScoreAtInputSize()(mask_sample(blob())))
    with pytest.raises(ValueError, match='SoftMask is for training; for scores use BinarizeMask'):
        ScoreAtInputSize()(SoftMask()(mask_sample(blob())))
    assert SoftMask()(dict(ori_shape=(2, 2))) == dict(ori_shape=(2, 2))
    assert repr(TRANSFORMS.build(dict(type='mmseg.SoftMask'))) == 'SoftMask()'


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
    with pytest.raises(ValueError, match='nearest value of a soft mask; use ResizeWithMask'):
        PackSoftSegInputs()(results)
