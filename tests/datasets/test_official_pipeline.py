"""The preset official, whole: soft masks, augmentation at native size, the stored background."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import Compose, pseudo_collate
from mmseg.models import SegDataPreProcessor
from PIL import Image

import condseg_mmseg  # noqa: F401

SIZE = (64, 48)  # width, height
ROUNDING = 1.01 / 255  # of two masks that are resized in steps of 1 / 255


def train_pipeline(
    prob: float | tuple = 0.3, degree: int = 35, background: bool = True, size: tuple = SIZE
) -> list[dict]:
    """Stage 2; stage 1 is ``prob=0.5, degree=90, background=False`` with cut-out at 0.3."""
    turn, horizontal, vertical, holes = prob if isinstance(prob, tuple) else [prob] * 4
    return [
        dict(type='LoadImageFromFile'),
        dict(type='LoadSoftMask'),
        *([dict(type='KeepBackgroundMask')] if background else []),
        dict(type='RandomRotateReflect', prob=turn, degree=degree),
        dict(type='RandomFlip', prob=horizontal, direction='horizontal'),
        dict(type='RandomFlip', prob=vertical, direction='vertical'),
        dict(type='RandomCutOut', prob=holes, n_holes=10, cutout_shape=(32, 32), seg_fill_in=None),
        dict(type='ResizeWithMask', scale=size, keep_ratio=False),
        dict(type='PackSoftSegInputs'),
    ]


def run(pipeline: list[dict], image: Path, mask: Path) -> dict:
    info = dict(img_path=str(image), seg_map_path=str(mask), seg_fields=[])
    return Compose(pipeline)(info | dict(reduce_zero_label=False, label_map=None))


def ellipse() -> np.ndarray:
    """Left of the centre; stays inside the image however it is turned."""
    yy, xx = np.mgrid[:150, :190]
    return (255 * (((yy - 70) / 40) ** 2 + ((xx - 70) / 30) ** 2 <= 1)).astype(np.uint8)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """An image that equals its mask, 0/255 PNG."""
    mask = ellipse()
    Image.fromarray(np.repeat(mask[..., None], 3, 2)).save(tmp_path / 'image.png')
    Image.fromarray(mask).save(tmp_path / 'mask.png')
    return tmp_path / 'image.png', tmp_path / 'mask.png'


def maps(packed: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image as grey in [0, 1], target and stored background, each (H, W)."""
    sample = packed['data_samples']
    image = packed['inputs'].float().mean(0).numpy() / 255
    return image, sample.gt_sem_seg.data[0].numpy(), sample.metainfo.get('background_mask')


def test_image_and_target_stay_aligned_and_nothing_is_ignored(pair: tuple) -> None:
    pipeline = train_pipeline(prob=(0.8, 0.5, 0.5, 0.0), degree=90)
    moved = 0
    start = maps(run(train_pipeline(prob=0.0), *pair))[2]
    for _ in range(30):
        image, target, background = maps(run(pipeline, *pair))
        assert target.min() == 0
        assert target.max() == 1  # the border is the mirrored mask: no 255
        # Both resized bilinearly; the mask was turned with nearest values, the image bilinearly.
        assert np.abs(image - target).mean() < 0.01
        assert np.array_equal(background, start)  # wherever the image has gone
        moved += np.abs(target + background - 1).mean() > 0.01
    assert moved > 15


def test_corners_are_filled_by_reflection(pair: tuple) -> None:
    for path, white in zip(
        pair, (np.full((150, 190, 3), 255), np.full((150, 190), 255)), strict=True
    ):
        Image.fromarray(white.astype(np.uint8)).save(path)
    for _ in range(5):
        image, target, _ = maps(run(train_pipeline((1.0, 0.5, 0.5, 0.0), degree=90), *pair))
        assert image.min() == target.min() == target.max() == 1


def test_without_augmentation_foreground_and_background_are_one(pair: tuple) -> None:
    _, target, background = maps(run(train_pipeline(prob=0.0), *pair))
    expected = cv2.resize(ellipse(), SIZE, interpolation=cv2.INTER_LINEAR) / np.float32(255)
    assert np.array_equal(target, expected)
    assert np.abs(target + background - 1).max() < ROUNDING
    assert ((target > 0) & (target < 1)).any()


def test_stage_1_packs_no_background(pair: tuple) -> None:
    pipeline = train_pipeline((0.5, 0.5, 0.5, 0.3), degree=90, background=False)
    packed = run(pipeline, *pair)
    assert maps(packed)[2] is None
    assert packed['data_samples'].gt_sem_seg.data.dtype == torch.float32


def test_the_preprocessor_pads_soft_masks_with_ignored(pair: tuple) -> None:
    sizes = [(24, 40), (32, 20)]  # width, height
    batch = [run(train_pipeline(0.0, background=False, size=size), *pair) for size in sizes]
    kept = [x['data_samples'].gt_sem_seg.data.clone() for x in batch]
    preprocessor = SegDataPreProcessor(size_divisor=16, seg_pad_val=255)
    out = preprocessor(pseudo_collate(batch), training=True)
    assert out['inputs'].shape == (2, 3, 48, 32)
    for sample, data, (width, height) in zip(out['data_samples'], kept, sizes, strict=True):
        padded = sample.gt_sem_seg.data
        assert (padded.dtype, padded.shape) == (torch.float32, (1, 48, 32))
        assert torch.equal(padded[:, :height, :width], data)
        outside = torch.ones(48, 32, dtype=torch.bool)
        outside[:height, :width] = False
        assert (padded[0, outside] == 255).all()


def test_on_a_real_image(kvasir_dir: Path) -> None:
    name = (kvasir_dir / 'train.txt').read_text().split()[0]
    files = kvasir_dir / 'images' / f'{name}.jpg', kvasir_dir / 'masks' / f'{name}.jpg'
    size = (256, 256)
    packed = run(train_pipeline(0.0, size=size), *files)
    _, plain, background = maps(packed)
    assert packed['inputs'].shape == (3, 256, 256)
    assert (plain.shape, plain.dtype) == (size, np.float32)
    grey = cv2.imread(str(files[1]), cv2.IMREAD_GRAYSCALE)
    expected = cv2.resize(grey, size, interpolation=cv2.INTER_LINEAR).astype(np.float32) / 255
    assert np.abs(plain - expected).max() < 0.02  # two JPEG decoders
    assert 0 <= plain.min() < 0.05
    assert 0.95 < plain.max() <= 1
    # Soft where a neighbour is of the other side, hard elsewhere.
    hard = (plain > 0.5).astype(np.uint8)
    kernel = np.ones((5, 5), np.uint8)
    rim = cv2.dilate(hard, kernel) != cv2.erode(hard, kernel)
    soft = (plain > 0.1) & (plain < 0.9)
    assert soft.sum() > 50
    assert not soft[~rim].any()
    assert np.abs(plain + background - 1).max() < ROUNDING

    _, flipped, kept = maps(run(train_pipeline((0.0, 1.0, 0.0, 0.0), size=size), *files))
    assert np.abs(flipped - plain[:, ::-1]).mean() < 2e-3
    assert np.array_equal(kept, background)
    assert np.abs(flipped + kept - 1).max() > 0.9
    for _ in range(5):
        _, target, kept = maps(run(train_pipeline(1.0, size=size), *files))
        assert 0 <= target.min() <= target.max() <= 1
        assert np.array_equal(kept, background)
