"""Properties of the transforms over generated masks and sizes."""

import numpy as np
from helpers import mask_sample
from hypothesis import given
from hypothesis import strategies as st
from mmseg.datasets.transforms import RandomFlip
from properties import few

from condseg_mmseg.datasets import RandomRotateReflect, ResizeWithMask
from condseg_mmseg.datasets.load_binary_mask import binarize

sides = st.integers(1, 41)


@st.composite
def masks(draw) -> np.ndarray:
    """0 and 1, of any size from 1 x 1."""
    seed, height, width = draw(st.integers(0, 2**32 - 1)), draw(sides), draw(sides)
    share = draw(st.sampled_from((0.0, 0.1, 0.5, 1.0)))
    return (np.random.default_rng(seed).random((height, width)) < share).astype(np.uint8)


def sample(mask: np.ndarray) -> dict:
    """Image and mask that show the same: the image is the mask in 0 and 255."""
    return mask_sample(mask.copy(), img=np.repeat(255 * mask[..., None], 3, 2))


@few
@given(masks(), st.sampled_from((1, 255)), st.sampled_from(('auto', 'nonzero')))
def test_a_mask_of_two_values_is_kept(mask, value, mode):
    assert np.array_equal(binarize(mask * np.uint8(value), mode), mask)
    assert np.array_equal(binarize(binarize(mask * np.uint8(value), mode), mode), mask)


@few
@given(masks(), st.sampled_from(('horizontal', 'vertical', 'diagonal')))
def test_a_flip_moves_image_and_mask_alike_and_twice_is_none(mask, direction):
    flip = RandomFlip(prob=1.0, direction=direction)
    once = flip(sample(mask))
    assert np.array_equal(once['img'][..., 0], 255 * once['gt_seg_map'])
    assert once['gt_seg_map'].sum() == mask.sum()
    twice = flip({key: once[key] for key in sample(mask)})
    assert np.array_equal(twice['gt_seg_map'], mask)
    assert np.array_equal(twice['img'][..., 0], 255 * mask)


@few
@given(masks(), sides, sides)
def test_a_resize_keeps_0_and_1_and_image_and_mask_aligned(mask, height, width):
    out = ResizeWithMask(scale=(width, height), keep_ratio=False)(sample(mask))
    resized = out['gt_seg_map']
    assert resized.shape == out['img'].shape[:2] == (height, width)
    assert set(np.unique(resized)) <= {0, 1}
    # the image is rounded to 1 of 255, so that only what lies at the cut may differ
    grey = out['img'][..., 0].astype(int)
    certain = np.abs(grey - 127.5) > 2
    assert np.array_equal(resized[certain], (grey > 127)[certain])
    if mask.all() or not mask.any():
        assert (resized == mask[0, 0]).all()


@few
@given(masks(), st.floats(1, 180))
def test_a_rotation_by_reflection_keeps_0_and_1(mask, degree):
    out = RandomRotateReflect(prob=1.0, degree=degree)(sample(mask))
    assert out['gt_seg_map'].shape == mask.shape
    assert set(np.unique(out['gt_seg_map'])) <= set(np.unique(mask))
    if mask.all() or not mask.any():
        assert (out['img'] == 255 * mask[0, 0]).all()
