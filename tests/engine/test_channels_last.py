"""Channels-last maps as an option, and the convolutions that must not train on them."""

import copy
import pickle
from types import SimpleNamespace

import mmcv
import numpy as np
import pytest
import torch
from helpers import ROOT
from mmengine.config import Config
from mmengine.runner import Runner
from mmengine.structures import PixelData
from mmseg.registry import MODELS, OPTIM_WRAPPERS
from mmseg.structures import SegDataSample
from torch import nn
from torch.nn import functional as F

from condseg_mmseg.engine.channels_last import ChannelsLastHook, guard_dilated_bfloat16

CONFIGS = ROOT / 'configs' / 'condseg'
LITE0 = CONFIGS / 'condseg_lite0_1xb8-20e_kvasir-seg-160x160.py'
DEMO = CONFIGS / 'condseg_r18_1xb8-4e_demo-96x96.py'


def network(config):
    cfg = Config.fromfile(config).model
    cfg.backbone.update(pretrained=False) if 'Lite' in cfg.backbone.type else None
    torch.manual_seed(0)
    return MODELS.build(cfg)


def samples(images):
    masks = torch.rand(len(images), 1, *images.shape[-2:]) > 0.7
    return [SegDataSample(gt_sem_seg=PixelData(data=mask.long())) for mask in masks]


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


@pytest.mark.parametrize('width', [24, 40])
@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
def test_a_guarded_convolution_has_the_right_gradients_in_bfloat16(width, layout):
    torch.manual_seed(0)
    conv = nn.Conv2d(width, 32, 3, padding=6, dilation=6, bias=False).to(memory_format=layout)
    model = nn.Sequential(conv)
    assert guard_dilated_bfloat16(model) == ['0']
    assert guard_dilated_bfloat16(model) == []
    x = torch.randn(8, width, 40, 40).contiguous(memory_format=layout)
    with torch.autocast('cpu', torch.bfloat16):
        out = model(x)
    assert out.is_contiguous(memory_format=layout)
    upstream = torch.randn(out.shape)
    (actual,) = torch.autograd.grad(out, conv.weight, upstream.bfloat16())
    exact = conv.weight.detach().bfloat16().float().requires_grad_()
    reference = F.conv2d(x.bfloat16().float(), exact, padding=6, dilation=6)
    (expected,) = torch.autograd.grad(reference, exact, upstream.bfloat16().float())
    assert (actual - expected).abs().max() <= 1e-2 * expected.abs().max()
    with torch.no_grad():  # prediction needs no guard
        torch.testing.assert_close(model(x), F.conv2d(x, conv.weight, padding=6, dilation=6))


@pytest.mark.parametrize(
    ('width', 'dilation'), [(24, 1), (32, 6), (48, 6)], ids=['not dilated', '32', '48']
)
def test_other_convolutions_stay_as_they_are(width, dilation):
    model = nn.Sequential(nn.Conv2d(width, 8, 3, dilation=dilation))
    assert guard_dilated_bfloat16(model) == []
    assert 'forward' not in vars(model[0])


def test_a_guarded_model_is_copied_with_its_own_weights():
    model = nn.Sequential(nn.Conv2d(24, 4, 3, dilation=2))
    guard_dilated_bfloat16(model)
    x = torch.randn(1, 24, 8, 8)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        nn.init.zeros_(other[0].weight)
        assert torch.equal(other(x), other[0].bias[:, None, None].expand(1, 4, 4, 4))


def test_the_optimizer_wrapper_guards_once_and_logs_the_names(monkeypatch):
    model = nn.Sequential(nn.Conv2d(16, 24, 1), nn.Conv2d(24, 4, 3, dilation=2))
    logged = []
    monkeypatch.setattr(
        'condseg_mmseg.engine.optim_wrapper.print_log', lambda text, **_: logged.append(text)
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    wrapper = OPTIM_WRAPPERS.build({'type': 'AutocastOptimWrapper', 'optimizer': optimizer})
    for _ in range(2):
        with wrapper.optim_context(model):
            model(torch.randn(1, 16, 8, 8))
    assert [text.rpartition(': ')[2] for text in logged] == ['1']
    assert 'forward' in vars(model[1])
    assert 'forward' not in vars(model[0])


@pytest.mark.slow
def test_lite0_trains_in_bfloat16_on_channels_last_maps():
    pytest.importorskip('efficientnet_lite_pytorch', reason='needs the extra "lite"')
    model = switch_on(network(LITE0).train())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    wrapper = OPTIM_WRAPPERS.build({'type': 'AutocastOptimWrapper', 'optimizer': optimizer})
    images = torch.randn(8, 3, 160, 160)
    with wrapper.optim_context(model):
        loss, _ = model.parse_losses(model(images, samples(images), mode='loss'))
    loss.backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    assert len(gradients) > 300
    assert [name for name, grad in gradients.items() if not grad.isfinite().all()] == []
    guarded = [name for name, m in model.named_modules() if 'forward' in vars(m)]
    assert guarded == [f'neck.enhance.{i}.branches.{b}.0.conv' for i in (1, 2) for b in (1, 2, 3)]
