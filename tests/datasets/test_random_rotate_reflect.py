"""RandomRotateReflect: image and mask stay together, corners mirror the picture."""

import numpy as np
import pytest
from mmengine.dataset import Compose
from mmseg.registry import TRANSFORMS

from condseg_mmseg.datasets import RandomRotateReflect


def rotate(angle: float, img: np.ndarray, **masks: np.ndarray) -> dict:
    results = dict(img=img, seg_fields=list(masks), **masks)
    return RandomRotateReflect(prob=1, degree=(angle, angle))(results)


def disc(height: int, width: int, y: float, x: float, radius: float) -> np.ndarray:
    yy, xx = np.mgrid[:height, :width]
    return (np.hypot(yy - y, xx - x) <= radius).astype(np.uint8)


def centroid(image: np.ndarray) -> np.ndarray:
    yy, xx = np.mgrid[: image.shape[0], : image.shape[1]]
    return np.array([(yy * image).sum(), (xx * image).sum()]) / image.sum()


@pytest.mark.parametrize('angle', [-90, -35, 20, 90])
def test_image_and_mask_turn_clockwise_about_the_centre(angle: float) -> None:
    height, width, y, x = 101, 143, 38, 84
    mask = disc(height, width, y, x, 9)
    out = rotate(angle, 200 * np.repeat(mask[..., None], 3, 2), gt_seg_map=mask)
    assert out['img'].shape == (height, width, 3)
    dy, dx, turn = y - (height - 1) / 2, x - (width - 1) / 2, np.deg2rad(angle)
    expected = (
        (height - 1) / 2 + dx * np.sin(turn) + dy * np.cos(turn),
        (width - 1) / 2 + dx * np.cos(turn) - dy * np.sin(turn),
    )
    assert centroid(out['img'][..., 0].astype(float)) == pytest.approx(expected, abs=0.05)
    assert centroid(out['gt_seg_map']) == pytest.approx(expected, abs=0.1)
    assert set(np.unique(out['gt_seg_map'])) == {0, 1}


@pytest.mark.parametrize('dtype', [np.uint8, np.float32])
@pytest.mark.parametrize('channels', [1, 3])
def test_a_quarter_turn_is_exact(dtype: type, channels: int) -> None:
    """Binarised, soft and colour masks alike; every field named in seg_fields."""
    rng = np.random.default_rng(0)
    img = rng.integers(0, 256, (31, 31, 3), dtype=np.uint8)
    mask = rng.integers(0, 256, (31, 31, channels)).astype(dtype).squeeze()
    out = rotate(90, img.copy(), gt_seg_map=mask.copy(), other=mask[::-1].copy())
    assert np.array_equal(out['img'], np.rot90(img, -1))
    assert np.array_equal(out['gt_seg_map'], np.rot90(mask, -1))
    assert np.array_equal(out['other'], np.rot90(mask[::-1], -1))
    assert out['gt_seg_map'].dtype == dtype


@pytest.mark.parametrize(('height', 'width'), [(40, 64), (67, 29)])
def test_corners_show_the_reflected_picture(height: int, width: int) -> None:
    """As if a picture with a wide mirrored border had been turned and cropped."""
    rng = np.random.default_rng(0)
    img = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    mask = rng.integers(0, 2, (height, width), dtype=np.uint8)
    wide = [np.pad(img, ((24, 24), (24, 24), (0, 0)), mode='reflect')]
    wide.append(np.pad(mask, 24, mode='reflect'))
    out = rotate(33, img, gt_seg_map=mask)
    expected = rotate(33, wide[0], gt_seg_map=wide[1])
    crop = (slice(24, -24), slice(24, -24))
    assert np.abs(out['img'] - expected['img'][crop].astype(float)).mean() < 1
    assert (out['gt_seg_map'] == expected['gt_seg_map'][crop]).mean() > 0.99
    assert set(np.unique(out['gt_seg_map'])) == {0, 1}  # nothing is ignored


def test_ignored_pixels_turn_with_the_rest() -> None:
    labels = disc(81, 81, 40, 40, 30) + 254 * disc(81, 81, 40, 55, 8)
    out = rotate(45, np.zeros((81, 81, 3), np.uint8), gt_seg_map=labels)['gt_seg_map']
    assert set(np.unique(out)) == {0, 1, 255}
    step = 15 / np.sqrt(2)
    assert centroid(out == 255) == pytest.approx((40 + step, 40 + step), abs=0.2)
    assert (out == 255).sum() == pytest.approx((labels == 255).sum(), rel=0.03)


def test_probability_and_range() -> None:
    transform = TRANSFORMS.build(dict(type='RandomRotateReflect', prob=0.5, degree=90))
    assert repr(transform) == 'RandomRotateReflect(prob=0.5, degree=(-90, 90))'
    drawn = [transform.generate_degree() for _ in range(2000)]
    assert np.mean([rotated for rotated, _ in drawn]) == pytest.approx(0.5, abs=0.04)
    angles = np.array([angle for _, angle in drawn])
    assert -90 <= angles.min() < -80
    assert 80 < angles.max() <= 90
    img = np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    never = RandomRotateReflect(prob=0, degree=90)
    assert np.array_equal(never(dict(img=img.copy()))['img'], img)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(prob=1.5, degree=10), r'prob must lie in \[0, 1\], got 1.5'),
        (dict(prob=0.5, degree=0), r'degree must be > 0 or \(min, max\), got 0'),
        (dict(prob=0.5, degree=(5, -5)), r'got \(5, -5\)'),
        (dict(prob=0.5, degree=(1, 2, 3)), r'got \(1, 2, 3\)'),
    ],
)
def test_wrong_options(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RandomRotateReflect(**options)


def test_cut_out_in_pixels_of_the_file_leaves_the_mask() -> None:
    """mmseg's RandomCutOut as the preset uses it: 10 holes of 32 px, cropped at the border."""
    cut_out = Compose(
        [dict(type='RandomCutOut', prob=1.0, n_holes=10, cutout_shape=(32, 32), seg_fill_in=None)]
    )
    mask, areas = disc(300, 400, 150, 200, 60), []
    for _ in range(50):
        results = dict(img=np.full((300, 400, 3), 9, np.uint8), gt_seg_map=mask.copy())
        out = cut_out(dict(results, seg_fields=['gt_seg_map']))
        assert np.array_equal(out['gt_seg_map'], mask)
        assert set(np.unique(out['img'])) == {0, 9}
        areas.append((out['img'] == 0).all(2).sum())
    assert 5 * 32 * 32 < np.mean(areas) < 10 * 32 * 32
