"""Channels-last maps as an option, and the convolutions that must not train on them."""

import copy
import pickle
from types import SimpleNamespace

import pytest
import torch
from helpers import ROOT
from mmengine.config import Config
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


def test_all_maps_are_channels_last_and_the_weights_stay_as_they_are():
    model, hook = network(DEMO).eval(), ChannelsLastHook()
    images = torch.randn(1, 3, 64, 80)
    expected = model(images)
    for _ in range(2):  # mmengine calls it before each loop
        hook.before_run(SimpleNamespace(model=model))
    assert len(model.backbone._forward_pre_hooks) == 1
    for x in model.extract_feat(images):
        assert x.is_contiguous(memory_format=torch.channels_last)
    assert all(x.is_contiguous() for x in model.state_dict().values())
    actual = model(images)
    assert (actual - expected).abs().max() <= 1e-4 * expected.abs().max()
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(other(images), actual)


def test_a_model_without_a_backbone_is_named():
    with pytest.raises(TypeError, match=r'ChannelsLastHook works on .* backbone, got Linear'):
        ChannelsLastHook().before_run(SimpleNamespace(model=nn.Linear(1, 1)))


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


@pytest.mark.slow
def test_lite0_trains_in_bfloat16_on_channels_last_maps(caplog):
    pytest.importorskip('efficientnet_lite_pytorch', reason='needs the extra "lite"')
    model = network(LITE0).train()
    ChannelsLastHook().before_run(SimpleNamespace(model=model))
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
