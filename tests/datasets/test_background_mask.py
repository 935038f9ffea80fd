"""The misplaced background target of the released code."""

import numpy as np
import pytest
from mmcv.transforms import Compose
from mmseg.datasets.transforms import PackSegInputs, RandomFlip

from condseg_mmseg.datasets import KeepBackgroundMask, ResizeWithMask


def sample():
    mask = np.array([[0, 1, 255], [0, 0, 1]], np.uint8)
    return {
        'img': np.zeros((2, 3, 3), np.uint8),
        'img_shape': (2, 3),
        'gt_seg_map': mask,
        'seg_fields': ['gt_seg_map'],
        'seg_map_path': 'x.png',
    }


def test_later_flips_move_the_mask_but_not_the_stored_one():
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


def test_grey_masks_are_refused():
    grey = sample() | {'gt_seg_map': np.array([[0, 254]], np.uint8)}
    with pytest.raises(ValueError, match=r'x.png: the mask is not 0/1 yet, put BinarizeMask or S'):
        KeepBackgroundMask()(grey)
    for wrong in (-0.5, 1.5, np.nan):
        grey['gt_seg_map'] = np.array([[0, wrong]], np.float32)
        with pytest.raises(ValueError, match='put BinarizeMask or SoftMask before'):
            KeepBackgroundMask()(grey)


def test_soft_masks_are_kept_soft():
    mask = np.array([[0.25, 1, 255], [0, 0.5, 0.75]], np.float32)
    kept = KeepBackgroundMask()(sample() | {'gt_seg_map': mask})['background_mask']
    assert kept.dtype == np.float32
    assert kept.tolist() == [[0.75, 0, 255], [1, 0.5, 0.25]]


@pytest.mark.parametrize('soft', [False, True], ids=['classes', 'soft'])
def test_before_or_after_the_resize(soft):
    """Either way the complement of the unflipped mask at the input size."""
    rng = np.random.default_rng(0)
    mask = np.kron(rng.integers(0, 2, (5, 7)), np.ones((6, 6)))
    mask = (np.clip(mask, 0.2, 0.8) if soft else mask).astype(np.float32 if soft else np.uint8)
    flip = RandomFlip(prob=1.0, direction='horizontal')
    resize = ResizeWithMask(scale=(21, 15))  # half the size: every second tie is halfway

    def run(*transforms):
        results = {'img': np.zeros((30, 42, 3), np.uint8), 'gt_seg_map': mask.copy()}
        results |= {'seg_fields': ['gt_seg_map'], 'img_shape': (30, 42), 'mask_binarized': True}
        return Compose(transforms)(results)

    plain = run(resize)['gt_seg_map']
    before = run(KeepBackgroundMask(), flip, resize)
    after = run(resize, KeepBackgroundMask(), flip)
    for results in (before, after):
        assert results['background_mask'].shape == (15, 21)
        assert results['background_mask'].dtype == mask.dtype
        np.testing.assert_allclose(results['background_mask'], 1 - plain, atol=1e-6)
    assert np.array_equal(after['gt_seg_map'], plain[:, ::-1])
    assert np.abs(before['gt_seg_map'] + before['background_mask'] - 1.0).max() > 0.5
