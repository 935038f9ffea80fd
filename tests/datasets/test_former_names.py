"""A config that a former version dumped loads its masks as before."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers import blob
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope

import condseg_mmseg  # noqa: F401

IMAGE, MASK = dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')
RESIZE = dict(type='ResizeWithMask', scale=(32, 24), keep_ratio=False)
CUT, SCORE = dict(type='BinarizeMask', mode='auto'), dict(type='ScoreAtInputSize')
FLIP = dict(type='RandomFlip', prob=1.0, direction='horizontal')
PACK, PACK_SOFT = dict(type='PackSegInputs'), dict(type='PackSoftSegInputs')
SOFT, KEEP = dict(type='SoftMask'), dict(type='KeepBackgroundMask')


def run(folder: Path, pipeline: list[dict]):
    """The sample of an image that is its own mask, 0 and 255, of 37 x 53."""
    init_default_scope('mmseg')
    paths = dict(img_path=str(folder / 'image.png'), seg_map_path=str(folder / 'mask.png'))
    cv2.imwrite(paths['img_path'], np.repeat(blob()[..., None], 3, 2))
    cv2.imwrite(paths['seg_map_path'], blob())
    steps = Config(dict(pipeline=pipeline)).pipeline
    info = paths | dict(seg_fields=[], reduce_zero_label=False, label_map=None)
    return Compose(steps)(info)['data_samples']


SHARE = cv2.resize(blob(), (32, 24)) / np.float32(255)


def test_training(tmp_path: Path) -> None:
    sample = run(tmp_path, [IMAGE, MASK, CUT, RESIZE, FLIP, PACK])  # flipped once
    assert np.array_equal(sample.gt_sem_seg.data[0], (SHARE > 0.5)[:, ::-1])


def test_scores(tmp_path: Path) -> None:
    sample = run(tmp_path, [IMAGE, RESIZE, MASK, CUT, SCORE, PACK])
    assert np.array_equal(sample.gt_sem_seg.data[0], SHARE > 0.5)
    assert sample.ori_shape == (24, 32)


def test_the_mode_was_threshold_by_default(tmp_path: Path) -> None:
    sample = run(tmp_path, [IMAGE, MASK, dict(type='BinarizeMask', threshold=254), PACK])
    assert np.array_equal(sample.gt_sem_seg.data[0], blob() == 255)


@pytest.mark.parametrize('resize', ['ResizeWithMask', 'ResizeWithSoftMask'])
def test_preset_official(tmp_path: Path, resize: str) -> None:
    steps = [IMAGE, MASK, SOFT, KEEP, FLIP, dict(RESIZE, type=resize), PACK_SOFT]
    sample = run(tmp_path, steps)
    assert np.array_equal(sample.gt_sem_seg.data[0], SHARE[:, ::-1])
    assert np.abs(sample.metainfo['background_mask'] - (1 - SHARE)).max() < 1.01 / 255


def test_a_cache_runs_what_it_held(tmp_path: Path) -> None:
    cache = dict(type='CacheTransforms', transforms=[IMAGE, MASK, CUT, RESIZE], max_bytes=9)
    with pytest.warns(UserWarning, match='CacheTransforms is gone'):
        sample = run(tmp_path, [cache, PACK])
    assert np.array_equal(sample.gt_sem_seg.data[0], SHARE > 0.5)
