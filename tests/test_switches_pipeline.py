"""The switches of docs/method.md, section 7, that are a pipeline, each set alone on the default."""

import cv2
import numpy as np
import pytest
import torch
from helpers import ROOT, blob
from mmengine.config import Config
from mmengine.dataset import Compose
from mmseg.registry import MODELS
from shipped_configs import STAGE2, default


@pytest.fixture
def pair(tmp_path):
    """An image and its mask, 0/255, 53 x 37."""
    mask = blob()
    cv2.imwrite(str(tmp_path / 'image.png'), np.repeat(mask[..., None], 3, 2))
    cv2.imwrite(str(tmp_path / 'mask.png'), mask)
    return tmp_path / 'image.png', tmp_path / 'mask.png'


def run(pipeline, pair):
    """One sample and its mask (H, W)."""
    info = dict(img_path=str(pair[0]), seg_map_path=str(pair[1]), seg_fields=[])
    pipeline = [dict(t, scale=(64, 48)) if 'scale' in t else t for t in pipeline]
    sample = Compose(pipeline)(info | dict(reduce_zero_label=False, label_map=None))['data_samples']
    return sample, sample.gt_sem_seg.data[0].numpy()


def only(pipeline, **probs):
    """The pipeline with these transforms certain and the other random ones left out."""
    kept = [t for t in pipeline if 'prob' not in t or t['type'] in probs]
    return [dict(t, prob=probs[t['type']]) if t['type'] in probs else t for t in kept]


# Row b: the background mask stays where it was, or is the complement.
@pytest.mark.parametrize('stored', [False, True])
def test_b_background_target(pair, stored):
    cfg = default(STAGE2)
    if stored:
        keys = ('img_path', 'ori_shape', 'img_shape', 'background_mask')
        pipeline = [
            cfg.load, cfg.load_mask, cfg.resize, dict(type='KeepBackgroundMask'), *cfg.augment,
            dict(type='PackSegInputs', meta_keys=keys),
        ]  # fmt: skip
        cfg = default(
            STAGE2,
            train_dataloader__dataset__pipeline=pipeline,
            model__auxiliary_head__background_target='stored',
        )
    sample, mask = run(only(cfg.train_dataloader.dataset.pipeline, RandomFlip=1.0), pair)
    head = MODELS.build(cfg.model.auxiliary_head)
    mask = torch.from_numpy(mask)
    certain = 60 * (2 * mask.float() - 1)[None, None]
    head.forward = lambda _: (certain, -certain, torch.full_like(certain, -60))
    losses = head.loss([], [sample], None)
    assert losses['loss_fg'].item() < 1e-6
    if not stored:
        assert losses['loss_bg'].item() < 1e-6
        return
    background = torch.from_numpy(sample.metainfo['background_mask'])
    assert torch.equal(background.flip(0, 1), 1 - mask)  # flipped both ways, the target not
    wrong = (background == mask).float().mean()
    assert 0.1 < wrong < 0.5
    assert losses['loss_bg'].item() > 60 * wrong.item()  # the cross-entropy of those pixels


# Row i: masks in training.
@pytest.mark.parametrize('soft', [False, True])
def test_i_masks_in_training(pair, soft):
    cfg = default(STAGE2)
    if soft:
        swap = dict(
            LoadBinaryMask=dict(type='LoadSoftMask'), PackSegInputs=dict(type='PackSoftSegInputs')
        )
        pipeline = [swap.get(t['type'], t) for t in cfg.train_pipeline]
        cfg = default(STAGE2, train_dataloader__dataset__pipeline=pipeline)
    _, mask = run(only(cfg.train_dataloader.dataset.pipeline), pair)
    expected = cv2.resize(blob(), (64, 48)) / 255
    if soft:
        assert np.abs(mask - expected).max() < 1.5 / 255
        assert ((mask > 0.1) & (mask < 0.9)).sum() > 50
    else:
        assert np.array_equal(mask, expected > 0.5)
        assert not np.array_equal(mask, cv2.resize(blob() // 255, (64, 48), interpolation=0))


# No switch: the masks for scores are the published ones, 8-bit and cut after the resize.
@pytest.mark.parametrize('preset', ['', '_official'])
def test_masks_for_scores(pair, preset):
    cfg = default(STAGE2.replace('_r50', f'_r50{preset}'))
    _, mask = run(cfg.test_dataloader.dataset.pipeline, pair)
    assert np.array_equal(mask, cv2.resize(blob(), (64, 48)) / 255 > 0.5)


# The corners of a turned image: ignored, or its mirrored surroundings.
@pytest.mark.parametrize('official', [False, True])
def test_augmentation_of_the_border(pair, official):
    cfg = default(STAGE2)
    if official:
        preset = Config.fromfile(ROOT / 'configs/_base_/presets/official.py')
        pipeline = preset.official_train_pipeline
        cfg = default(STAGE2, train_dataloader__dataset__pipeline=pipeline)
    pipeline = only(
        cfg.train_dataloader.dataset.pipeline, RandomRotate=1.0, RandomRotateReflect=1.0
    )
    pipeline = [dict(t, degree=(30, 30)) if 'degree' in t else t for t in pipeline]
    _, mask = run(pipeline, pair)
    assert (mask == 255).any() == (not official)
    assert 0 < mask[mask < 255].mean() < 1
