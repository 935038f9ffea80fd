"""The misplaced background target of the released code."""

import numpy as np
import pytest
from mmcv.transforms import Compose
from mmseg.datasets.transforms import PackSegInputs, RandomFlip

from condseg_mmseg.datasets import KeepBackgroundMask


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
    with pytest.raises(ValueError, match=r'x.png: the mask is not 0/1 yet, put BinarizeMask'):
        KeepBackgroundMask()(grey)
