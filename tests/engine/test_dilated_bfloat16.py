"""Gradients that PyTorch computes wrong on CPUs, and the convolutions guarded against them."""

import copy
import pickle

import pytest
import torch
from helpers import ROOT
from mmengine.config import Config
from mmengine.structures import PixelData
from mmseg.registry import MODELS, OPTIM_WRAPPERS
from mmseg.structures import SegDataSample
from torch import nn
from torch.nn import functional as F

from condseg_mmseg.engine.dilated_bfloat16 import guard_dilated_bfloat16

LITE0 = ROOT / 'configs' / 'condseg' / 'condseg_lite0_1xb8-12e_kvasir-seg-160x160.py'


LAYOUTS = {
    'contiguous': lambda x: x,
    'channels-last': lambda x: x.contiguous(memory_format=torch.channels_last),
    # what is neither, but lies with its channels last
    'a crop': lambda x: F.pad(x, (0, 1)).contiguous(memory_format=torch.channels_last)[..., :-1],
    'a split': lambda x: torch.cat((x, x), 1).contiguous(memory_format=torch.channels_last)[
        :, : x.shape[1]
    ],
}
SHAPES = {'24': (24, 1), '40': (40, 1), 'depthwise': (32, 32), 'two groups': (48, 2)}


@pytest.mark.parametrize('weight', ['contiguous', 'channels-last'])
@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('shape', SHAPES)
def test_a_guarded_convolution_has_the_right_gradients_in_bfloat16(shape, layout, weight):
    (width, groups), kernel = SHAPES[shape], {'padding': 6, 'dilation': 6}
    kernel['groups'] = groups
    torch.manual_seed(0)
    conv = nn.Conv2d(width, 32, 3, bias=False, **kernel) if groups < 3 else None
    conv = conv or nn.Conv2d(width, width, 3, bias=False, **kernel)
    model = nn.Sequential(conv)
    assert guard_dilated_bfloat16(model) == ['0']
    assert guard_dilated_bfloat16(model) == []
    if weight == 'channels-last':
        model.to(memory_format=torch.channels_last)
    x = LAYOUTS[layout](torch.randn(4, width, 40, 40))
    with torch.autocast('cpu', torch.bfloat16):
        out = model(x)
    if layout in ('contiguous', 'channels-last'):
        assert out.is_contiguous() == (layout == 'contiguous')
    upstream = torch.randn(out.shape)
    (actual,) = torch.autograd.grad(out, conv.weight, upstream.bfloat16())
    exact = conv.weight.detach().bfloat16().float().requires_grad_()
    reference = F.conv2d(x.bfloat16().float(), exact, **kernel)
    (expected,) = torch.autograd.grad(reference, exact, upstream.bfloat16().float())
    assert (actual - expected).abs().max() <= 1e-2 * expected.abs().max()
    with torch.no_grad():  # prediction needs no guard
        torch.testing.assert_close(model(x), F.conv2d(x, conv.weight, **kernel))


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
@pytest.mark.parametrize('layout', ['contiguous', 'channels-last'])
def test_a_compiled_network_has_the_right_gradients_too(layout):
    torch.manual_seed(0)
    torch.compiler.reset()
    dilated = nn.Conv2d(24, 32, 3, padding=6, dilation=6, bias=False)
    model = nn.Sequential(nn.Conv2d(16, 24, 3, padding=1), nn.ReLU(), dilated)
    assert guard_dilated_bfloat16(model) == ['2']
    x = LAYOUTS[layout](torch.randn(4, 16, 40, 40))
    gradients = []
    for call in (model, torch.compile(model, fullgraph=True)):
        dilated.weight.grad = None
        with torch.autocast('cpu', torch.bfloat16):
            out = call(x)
        out.float().sin().sum().backward()
        gradients.append(dilated.weight.grad)
    expected, actual = gradients
    assert (actual - expected).abs().max() <= 2e-2 * expected.abs().max()


@pytest.mark.slow
def test_lite0_trains_in_bfloat16_on_channels_last_maps():
    pytest.importorskip('efficientnet_lite_pytorch', reason='needs the extra "lite"')
    cfg = Config.fromfile(LITE0).model
    cfg.backbone.pretrained = False
    model = MODELS.build(cfg).train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    wrapper = OPTIM_WRAPPERS.build({'type': 'AutocastOptimWrapper', 'optimizer': optimizer})
    images = torch.randn(8, 3, 160, 160)
    masks = torch.rand(8, 1, 160, 160) > 0.7
    samples = [SegDataSample(gt_sem_seg=PixelData(data=mask.long())) for mask in masks]
    with wrapper.optim_context(model):
        loss, _ = model.parse_losses(model(images, samples, mode='loss'))
    loss.backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    assert len(gradients) > 300
    assert [name for name, grad in gradients.items() if not grad.isfinite().all()] == []
    guarded = [name for name, m in model.named_modules() if 'forward' in vars(m)]
    assert guarded == [f'neck.enhance.{i}.branches.{b}.0.conv' for i in (1, 2) for b in (1, 2, 3)]
