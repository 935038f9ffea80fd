"""Channels-last maps as an option of the runner."""

from types import SimpleNamespace

import mmcv
import numpy as np
import pytest
import torch
from helpers import ROOT
from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.registry import MODELS

from condseg_mmseg.engine.channels_last import ChannelsLastHook

CONFIGS = ROOT / 'configs' / 'condseg'
LITE0 = CONFIGS / 'condseg_lite0_1xb8-12e_kvasir-seg-160x160.py'
DEMO = CONFIGS / 'condseg_r18_1xb8-4e_demo-96x96.py'


def network(config):
    cfg = Config.fromfile(config).model
    cfg.backbone.update(pretrained=False) if 'Lite' in cfg.backbone.type else None
    torch.manual_seed(0)
    return MODELS.build(cfg)


@pytest.mark.parametrize('config', [LITE0, DEMO], ids=['lite0', 'demo'])
def test_the_cpu_configs_switch_it_on(config):
    assert {'type': 'ChannelsLastHook'} in Config.fromfile(config).custom_hooks


def switch_on(model):
    ChannelsLastHook().before_run(SimpleNamespace(model=model))
    return model


def test_all_maps_are_channels_last_whatever_the_images_are():
    model, images = network(DEMO).eval(), torch.randn(1, 3, 64, 80)
    expected, weights = model(images), list(model.parameters())
    switch_on(model)
    for x in model.extract_feat(images):
        assert x.is_contiguous(memory_format=torch.channels_last)
        assert not x.is_contiguous()
    assert all(a is b for a, b in zip(model.parameters(), weights, strict=True))  # optimizers'
    actual = model(images)
    assert (actual - expected).abs().max() <= 1e-4 * expected.abs().max()


@pytest.mark.slow
def test_a_training_writes_contiguous_weights_and_resumes(tmp_path):
    cfg = Config.fromfile(DEMO)
    assert {'type': 'ChannelsLastHook'} in cfg.custom_hooks
    images, masks = tmp_path / 'images', tmp_path / 'masks'
    for folder in (images, masks):
        folder.mkdir()
    for name in 'abcd':
        mmcv.imwrite(np.full((96, 96, 3), 90, np.uint8), str(images / f'{name}.png'))
        mmcv.imwrite(np.eye(96, dtype=np.uint8), str(masks / f'{name}.png'))
    for name in ('train.txt', 'val.txt', 'test.txt'):
        (tmp_path / name).write_text('a\nb\nc\nd\n')
    for part in ('train', 'val', 'test'):
        loader = cfg[f'{part}_dataloader']
        loader.update(batch_size=2, num_workers=0, persistent_workers=False)
        loader.dataset.update(data_root=str(tmp_path), other_ann_files=())
    cfg.train_cfg.update(max_epochs=1)
    cfg.update(work_dir=str(tmp_path / 'run'), experiment_name='channels_last')
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert any(not p.is_contiguous() for p in runner.model.parameters())
    saved = torch.load(tmp_path / 'run' / 'epoch_1.pth', weights_only=True)
    assert all(x.is_contiguous() for x in saved['state_dict'].values())
    for name, x in runner.model.state_dict().items():
        assert torch.equal(saved['state_dict'][name], x)
    cfg.train_cfg.update(max_epochs=2)
    cfg.update(resume=True, experiment_name='channels_last_resumed')
    resumed = Runner.from_cfg(cfg)
    resumed.train()
    assert resumed.epoch == 2
    assert any(not p.is_contiguous() for p in resumed.model.parameters())
