"""Crops without a polyp: the rectangle against brute force, and the data set of crops."""

import itertools
import math

import cv2
import numpy as np
import polyp_free
import pytest
from polyp_free import Rectangle, largest_empty

from condseg_mmseg.datasets import BinaryMedicalDataset


def brute(mask, share):
    """Area of the largest rectangle of zeros, 0 where there is none."""
    height, width = mask.shape
    least = math.ceil(share * height), math.ceil(share * width)
    rows, columns = (
        [(a, b) for a, b in itertools.combinations(range(n + 1), 2) if b - a >= m]
        for n, m in zip(mask.shape, least, strict=True)
    )
    return max(
        ((b - a) * (d - c) for a, b in rows for c, d in columns if not mask[a:b, c:d].any()),
        default=0,
    )


@pytest.mark.parametrize('share', [1 / 3, 0.0, 0.6])
def test_the_largest_rectangle_is_that_of_brute_force(share):
    rng, found = np.random.default_rng(0), 0
    for _ in range(150):
        shape = rng.integers(1, 9, 2)
        mask = (rng.random(shape) < rng.choice([0.05, 0.2, 0.5])).astype(np.uint8)
        expected, rectangle = brute(mask, share), largest_empty(mask, share)
        if rectangle is None:
            assert expected == 0
            continue
        found += 1
        top, left, height, width = rectangle
        assert top >= 0
        assert left >= 0
        crop = mask[top : top + height, left : left + width]
        assert crop.shape == (height, width)
        assert not crop.any()
        assert height * width == expected
    assert found > 20


def test_rectangles_by_hand():
    mask = np.zeros((6, 9))
    mask[2, 3] = 1
    assert largest_empty(mask) == Rectangle(0, 4, 6, 5)
    assert largest_empty(np.zeros((3, 2))) == Rectangle(0, 0, 3, 2)
    mask[:, 3:5] = mask[:, 8] = 1  # what is left is two thirds of the largest side and less
    assert largest_empty(mask) == Rectangle(0, 0, 6, 3)
    mask[:, 2] = 1
    assert largest_empty(mask) == Rectangle(0, 5, 6, 3)
    assert largest_empty(np.ones((4, 4))) is None


def test_crops_are_a_data_set(tmp_path):
    for name, rows in (('a', slice(0, 4)), ('full', slice(0, 12))):
        mask = np.zeros((12, 12), np.uint8)
        mask[rows] = 255
        image = np.arange(12 * 12 * 3, dtype=np.uint8).reshape(12, 12, 3)
        for kind, picture in (('images', image), ('masks', mask)):
            (tmp_path / 'from' / kind).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(tmp_path / 'from' / kind / f'{name}.png'), picture)
    (tmp_path / 'from' / 'val.txt').write_text('a\nfull\n')
    to = tmp_path / 'to'
    assert polyp_free.cut(tmp_path / 'from', to) == 1
    assert (to / 'crops.csv').read_text() == 'img_path,top,left,height,width\na,4,0,8,12\n'
    assert (cv2.imread(str(to / 'images' / 'a.png')) == image[4:]).all()
    prefix = dict(img_path='images', seg_map_path='masks')
    data = BinaryMedicalDataset(
        data_root=str(to), data_prefix=prefix, ann_file='all.txt', test_mode=True,
        pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadBinaryMask')],
    )  # fmt: skip
    assert len(data) == 1
    assert data[0]['gt_seg_map'].shape == (8, 12)
    assert not data[0]['gt_seg_map'].any()
