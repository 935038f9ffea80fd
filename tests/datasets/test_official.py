"""What the preset official needs: LoadSoftMask, KeepBackgroundMask, PackSoftSegInputs."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from helpers import blob, mask_file
from mmcv.transforms import Compose
from mmseg.datasets.transforms import PackSegInputs, RandomFlip
from mmseg.registry import TRANSFORMS

from condseg_mmseg.datasets import (
    KeepBackgroundMask,
    LoadSoftMask,
    PackSoftSegInputs,
    ResizeWithMask,
)

# ------------------------------------------------------------------------------ LoadSoftMask


def test_grey_values_become_shares(tmp_path: Path) -> None:
    def soft(mask: np.ndarray) -> np.ndarray:
        out = LoadSoftMask()(mask_file(tmp_path, np.asarray(mask, np.uint8)))
        assert out['seg_fields'] == ['gt_seg_map']
        assert out['gt_seg_map'].dtype == np.float32
        return out['gt_seg_map']

    mask = cv2.GaussianBlur(blob(64, 64), (5, 5), 0)
    assert np.array_equal(soft(mask), mask.astype(np.float32) / 255)
    assert np.array_equal(soft(np.repeat(mask[..., None], 3, 2)), mask.astype(np.float32) / 255)
    assert soft([[0, 1], [1, 0]]).tolist() == [[0, 1], [1, 0]]
    assert soft([[0, 255]]).tolist() == [[0, 1]]
    assert soft([[0, 0]]).tolist() == [[0, 0]]


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"highest value is 32.*LoadBinaryMask\(mode='nonzero'\)"):
        LoadSoftMask()(mask_file(tmp_path, np.uint8([[0, 1, 32]])))
    with pytest.raises(ValueError, match='53 x 37, its image is 99 x 99'):
        LoadSoftMask()(mask_file(tmp_path, blob(), ori_shape=(99, 99)))
    assert LoadSoftMask()(dict(ori_shape=(2, 2))) == dict(ori_shape=(2, 2))
    assert isinstance(TRANSFORMS.build(dict(type='mmseg.LoadSoftMask')), LoadSoftMask)


# ------------------------------------------------------------------------ KeepBackgroundMask


def sample() -> dict:
    mask = np.array([[0, 1, 255], [0, 0, 1]], np.uint8)
    return {
        'img': np.zeros((2, 3, 3), np.uint8),
        'img_shape': (2, 3),
        'gt_seg_map': mask,
        'seg_fields': ['gt_seg_map'],
        'seg_map_path': 'x.png',
    }


def test_later_flips_move_the_mask_but_not_the_stored_one() -> None:
    pipeline = Compose(
        [
            KeepBackgroundMask(),
            RandomFlip(prob=1.0, direction='horizontal'),
            PackSegInputs(meta_keys=('background_mask',)),
        ]
    )
    packed = pipeline(sample())['data_samples']
    assert packed.gt_sem_seg.data[0].tolist() == [[255, 1, 0], [1, 0, 0]]
    assert packed.metainfo['background_mask'].tolist() == [[1, 0, 255], [1, 1, 0]]


def test_grey_masks_are_refused() -> None:
    grey = sample() | {'gt_seg_map': np.array([[0, 254]], np.uint8)}
    with pytest.raises(ValueError, match=r'x.png: the mask is neither 0/1 nor soft; KeepB'):
        KeepBackgroundMask()(grey)
    for wrong in (-0.5, 1.5, np.nan):
        grey['gt_seg_map'] = np.array([[0, wrong]], np.float32)
        with pytest.raises(ValueError, match='comes after LoadBinaryMask or LoadSoftMask'):
            KeepBackgroundMask()(grey)


def test_soft_masks_are_kept_soft() -> None:
    mask = np.array([[0.25, 1, 255], [0, 0.5, 0.75]], np.float32)
    kept = KeepBackgroundMask()(sample() | {'gt_seg_map': mask})['background_mask']
    assert kept.dtype == np.float32
    assert kept.tolist() == [[0.75, 0, 255], [1, 0.5, 0.25]]


@pytest.mark.parametrize('soft', [False, True], ids=['classes', 'soft'])
def test_after_the_resize_or_before_it_with_the_soft_packing(soft: bool) -> None:
    """Either way the complement of the unflipped mask at the input size."""
    rng = np.random.default_rng(0)
    mask = np.kron(rng.integers(0, 2, (5, 7)), np.ones((6, 6)))
    mask = (np.clip(mask, 0.2, 0.8) if soft else mask).astype(np.float32 if soft else np.uint8)
    flip, resize = RandomFlip(prob=1.0, direction='horizontal'), ResizeWithMask(scale=(21, 15))

    def run(*transforms) -> dict:
        results = {'img': np.zeros((30, 42, 3), np.uint8), 'gt_seg_map': mask.copy()}
        return Compose(transforms)(results | {'seg_fields': ['gt_seg_map'], 'img_shape': (30, 42)})

    plain = run(resize)['gt_seg_map']
    after = run(resize, KeepBackgroundMask(), flip)
    assert after['background_mask'].dtype == mask.dtype
    np.testing.assert_allclose(after['background_mask'], 1 - plain, atol=1e-6)
    assert np.array_equal(after['gt_seg_map'], plain[:, ::-1])
    if soft:
        pack = PackSoftSegInputs(meta_keys=())
        packed = run(KeepBackgroundMask(), flip, resize, pack)['data_samples']
        kept = packed.metainfo['background_mask']
        assert kept.dtype == np.float32
        np.testing.assert_allclose(kept, 1 - plain, atol=1e-6)
        assert np.array_equal(packed.gt_sem_seg.data[0], plain[:, ::-1])


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
        (np.array([[0, 255]], np.uint8), r'uint8 \(1, 2\) in 0..255: read it by LoadSoftMask'),
        (np.array([[0, 128]], np.float32), r'float32 \(1, 2\) in 0.0..128.0'),
        (np.array([[-0.1, 1]], np.float32), r'in \[0, 1\] or 255'),
        (np.array([[np.nan, 1]], np.float32), r'in nan..nan'),
        (np.zeros((1, 2, 3), np.float32), r'\(1, 2, 3\)'),
    ],
)
def test_only_soft_masks_are_packed(mask: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=rf'^x\.png: .*{message}'):
        pack(mask)
