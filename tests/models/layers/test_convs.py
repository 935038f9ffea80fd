"""Reordered convolutions: the same values and gradients as the modules, and what is kept."""

import weakref

import pytest
import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmcv.cnn.utils import fuse_conv_bn
from torch import nn
from torch.profiler import ProfilerActivity, profile

from condseg_mmseg.models.layers import add_relu, conv_of, merge_pointwise, pointwise, resize_to

FORMATS = {'contiguous': torch.contiguous_format, 'channels_last': torch.channels_last}


def gradients(out, inputs):
    upstream = torch.cos(torch.arange(out.numel(), dtype=out.dtype)).view(out.shape)
    return torch.autograd.grad(out, inputs, upstream)


@pytest.mark.parametrize('n', [1, 3])
@pytest.mark.parametrize('layout', FORMATS)
@pytest.mark.parametrize('channels_last', [False, True])
def test_pointwise_is_the_convolution_in_the_format_asked_for(n, layout, channels_last):
    conv = nn.Conv2d(6, 5, 1).double()
    x = torch.randn(n, 6, 4, 7, dtype=torch.float64).to(memory_format=FORMATS[layout])
    x.requires_grad_()
    out, expected = pointwise(x, conv, channels_last), conv(x)
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-12)
    asked = torch.channels_last if channels_last else torch.contiguous_format
    assert out.is_contiguous(memory_format=asked)
    inputs = (x, conv.weight, conv.bias)
    for a, b in zip(gradients(out, inputs), gradients(expected, inputs), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize('fused', [False, True], ids=['BN', 'fused'])
@pytest.mark.parametrize('size', [(3, 5), (6, 9)], ids=['up', 'same size'])
def test_merge_pointwise_is_the_module_on_the_concatenation(fused, size):
    module = ConvModule(3 + 4, 5, 1, norm_cfg={'type': 'BN'}).double()
    nn.init.normal_(module.bn.weight)
    module(torch.randn(2, 7, 4, 4, dtype=torch.float64))  # statistics other than 0 and 1
    if fused:
        module = fuse_conv_bn(module.eval())
    module.train()
    coarse = torch.randn(2, 3, *size, dtype=torch.float64, requires_grad=True)
    fine = torch.randn(2, 4, 6, 9, dtype=torch.float64, requires_grad=True)
    expected = module(torch.cat((resize_to(coarse, (6, 9)), fine), 1))
    out = merge_pointwise(module, coarse, fine)
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-12)
    inputs = (coarse, fine, *module.parameters())
    for a, b in zip(gradients(out, inputs), gradients(expected, inputs), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_conv_of_keeps_what_its_input_is_made_of_and_convolves_once():
    module = ConvModule(4, 5, 3, padding=1, norm_cfg={'type': 'BN'}).double()
    x = torch.randn(2, 4, 3, 4, dtype=torch.float64, requires_grad=True)
    expected = gradients(module(resize_to(x, (6, 8))), (x, *module.parameters()))
    made = []

    def double(x):
        up = resize_to(x, (6, 8))
        made.append(weakref.ref(up))
        return up

    with profile(activities=[ProfilerActivity.CPU]) as calls:
        out = conv_of(double, module, x)
        assert made[0]() is None  # nobody holds the resized map
        actual = gradients(out, (x, *module.parameters()))
    assert len(made) == 2  # once each way
    counts = {event.key: event.count for event in calls.key_averages()}
    assert counts['aten::upsample_bilinear2d'] == 2
    assert counts['aten::_convolution'] == 1
    for a, b in zip(actual, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_conv_of_without_gradients_is_a_plain_call():
    module, calls = ConvModule(2, 2, 1, norm_cfg=None), []
    x = torch.randn(1, 2, 3, 3)
    with torch.no_grad():
        out = conv_of(lambda *m: calls.append(1) or torch.cat(m, 1), module, x[:, :1], x[:, 1:])
    assert torch.equal(out, module(x))
    assert calls == [1]


def test_a_convolution_with_a_hook_is_called():
    conv = nn.utils.spectral_norm(nn.Conv2d(6, 5, 1)).eval()
    x = torch.randn(1, 6, 4, 7)
    assert torch.equal(pointwise(x, conv), conv(x))


def test_add_relu_by_hand():
    x = torch.tensor([1.0, -4.0])
    out = add_relu(x, (torch.tensor([2.0, 1.0]), torch.tensor([-1.0, 2.0])))
    assert out.tolist() == [2.0, 0.0]
    assert x.tolist() == [1.0, -4.0]


def test_add_relu_behind_a_norm_leaves_its_gradient_right():
    x = torch.randn(2, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    norm = nn.BatchNorm2d(3).double()
    actual = gradients(add_relu(norm(x), (x, x)), (x, norm.weight))
    for a, b in zip(actual, gradients(F.relu(norm(x) + x + x), (x, norm.weight)), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)
