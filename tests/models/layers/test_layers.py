"""Gates, enhancement, SID and CDFA: values, gradients, refusals."""

import pytest
import torch
import torch.nn.functional as F

from condseg_mmseg.models import ContrastDrivenFeatureAggregation, SemanticInformationDecoupling
from condseg_mmseg.models.layers import (
    ChannelGate,
    FeatureEnhancement,
    SIDAdapter,
    SpatialGate,
    resize_to,
)


def assert_reaches_every_parameter(module, outputs):
    sum(out.square().sum() for out in outputs).backward()
    unused = [n for n, p in module.named_parameters() if p.grad is None or not p.grad.abs().max()]
    assert not unused


def test_resize_keeps_corners_and_returns_equal_sizes_untouched():
    x = torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]]])
    out = resize_to(x, (3, 3))
    assert out[0, 0].tolist() == [[0, 0.5, 1], [1, 1.5, 2], [2, 2.5, 3]]
    assert resize_to(x, (2, 2)) is x


def test_channel_gate_by_hand():
    gate = ChannelGate(2, ratio=16)
    assert [tuple(p.shape) for p in gate.parameters()] == [(1, 2, 1, 1), (2, 1, 1, 1)]
    with torch.no_grad():
        gate.mlp[0].weight.copy_(torch.tensor([1.0, 2.0]).view(1, 2, 1, 1))
        gate.mlp[2].weight.copy_(torch.tensor([1.0, -1.0]).view(2, 1, 1, 1))
    x = torch.tensor([[[[1.0, 3.0]], [[0.0, 2.0]]]])
    # averages (2, 1) -> 4, maxima (3, 2) -> 7; both channels weigh the sum 11 with + and -
    weights = torch.sigmoid(torch.tensor([11.0, -11.0])).view(1, 2, 1, 1)
    torch.testing.assert_close(gate(x), x * weights)


def test_spatial_gate_by_hand():
    gate = SpatialGate(kernel_size=1)
    with torch.no_grad():
        gate.conv.weight.copy_(torch.tensor([1.0, -2.0]).view(1, 2, 1, 1))
    x = torch.tensor([[[[1.0, 4.0]], [[3.0, 0.0]]]])
    # means (2, 2), maxima (3, 4)
    weights = torch.sigmoid(torch.tensor([2 - 6.0, 2 - 8.0])).view(1, 1, 1, 2)
    torch.testing.assert_close(gate(x), x * weights)


@pytest.mark.parametrize('size', [(1, 1), (7, 13)])
def test_feature_enhancement_keeps_the_size_and_trains_every_parameter(size):
    module = FeatureEnhancement(5, 64).eval()
    out = module(torch.randn(2, 5, *size))
    assert out.shape == (2, 64, *size)
    if size != (1, 1):
        assert_reaches_every_parameter(module, [out])


def test_sid_branches_have_separate_weights_and_the_third_is_optional():
    module = SemanticInformationDecoupling(6, 4).eval()
    x = torch.randn(2, 6, 5, 3)
    fg, bg, uc = module(x)
    assert fg.shape == bg.shape == uc.shape == (2, 4, 5, 3)
    assert not torch.allclose(fg, bg)
    assert module(x, uncertainty=False)[2] is None
    assert module.foreground[0].conv.out_channels == 3  # half of the input by default
    without = SemanticInformationDecoupling(6, 4, with_uncertainty=False)
    assert without(x)[2] is None
    assert not [n for n, _ in without.named_parameters() if 'uncertainty' in n]


def test_adapter_goes_through_the_sizes_it_is_given():
    module = SIDAdapter(4, 2).eval()
    x = torch.randn(1, 4, 2, 3)
    out = module(x, [(5, 6), (9, 11)])
    step = module.convs[1](
        F.interpolate(module.convs[0](x), (5, 6), mode='bilinear', align_corners=True)
    )
    step = module.convs[2](F.interpolate(step, (9, 11), mode='bilinear', align_corners=True))
    assert torch.equal(out, step)


@pytest.mark.parametrize(
    ('heads', 'kernel', 'stride'),
    [(1, 3, 1), (4, 3, 1), (2, 5, 1), (2, 1, 1), (2, 3, 2), (1, 5, 3)],
)
def test_cdfa_shapes_and_gradients(heads, kernel, stride):
    module = ContrastDrivenFeatureAggregation(6, 4, heads, kernel, stride, padding=kernel // 2)
    module.eval()
    x, fg, bg = torch.randn(2, 6, 7, 5), torch.randn(2, 4, 7, 5), torch.randn(2, 4, 7, 5)
    out = module(x, fg, bg)
    assert out.shape == (2, 4, 7, 5)
    if kernel > 1:  # a softmax over one weight has no gradient
        assert_reaches_every_parameter(module, [out])


def test_cdfa_order_of_attention_matters():
    module = ContrastDrivenFeatureAggregation(4, 4, 2).eval()
    x, fg, bg = torch.randn(3, 2, 4, 5, 5).unbind()
    first = module(x, fg, bg)
    module.attn_order = ('bg', 'fg')
    assert not torch.allclose(first, module(x, fg, bg), atol=1e-6)
    module.attn_fg, module.attn_bg = module.attn_bg, module.attn_fg
    assert torch.equal(first, module(x, bg, fg))


def test_cdfa_dropouts_are_active_in_training_only():
    module = ContrastDrivenFeatureAggregation(4, 4, 2, attn_drop=0.5, proj_drop=0.5).eval()
    x = torch.randn(3, 2, 4, 5, 5).unbind()
    assert torch.equal(module(*x), module(*x))
    module.train()
    assert not torch.allclose(module(*x), module(*x))


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'num_heads': 3}, 'num_heads must divide channels=4, got 3'),
        ({'kernel_size': 4}, 'kernel_size must be odd and >= 1, got 4'),
        ({'stride': 0}, 'stride must be >= 1, got 0'),
        ({'padding': 0}, 'padding must be kernel_size // 2 = 1 or None, got 0'),
        ({'attn_drop': 1.0}, r'attn_drop must be in \[0, 1\), got 1.0'),
        ({'proj_drop': -0.1}, 'proj_drop must be in'),
        ({'attn_order': ('fg', 'fg')}, "attn_order must hold 'fg' and 'bg' once each"),
        ({'backend': 'triton'}, "got 'triton'"),
    ],
)
def test_cdfa_names_wrong_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        ContrastDrivenFeatureAggregation(
            **({'in_channels': 4, 'channels': 4, 'num_heads': 2} | options)
        )


def test_cdfa_names_a_guide_of_the_wrong_size():
    module = ContrastDrivenFeatureAggregation(4, 4, 2)
    x = torch.zeros(1, 4, 6, 6)
    with pytest.raises(ValueError, match=r'bg must have shape \(1, 4, 6, 6\), got \(1, 4, 3, 3\)'):
        module(x, x, torch.zeros(1, 4, 3, 3))
