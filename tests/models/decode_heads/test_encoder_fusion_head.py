"""The stage-1 head against that of the one file; what it shares with the size-aware one."""

import copy

import pytest
import torch
from helpers import load_script
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch.nn import functional as F

from condseg_mmseg.models import EncoderFusionHead, SizeAwareDecodeHead

WIDTHS = (4, 6, 3, 5)
SIZES = [(13, 7), (7, 4), (4, 2), (1, 1)]
# up-samples first; run on our head, whose parts have the same names
literal = load_script('docs/condseg_in_one_file.py').FusionHead.forward


def features(levels=4, n=3):
    return [
        torch.randn(n, c, *size, dtype=torch.float64, requires_grad=True)
        for c, size in zip(WIDTHS[:levels], SIZES, strict=False)
    ]


def head(levels=4, **options):
    module = EncoderFusionHead(WIDTHS[:levels], 8, **options).double()
    for parameter in module.parameters():  # so that neither BN's scale nor its shift is trivial
        torch.nn.init.normal_(parameter, std=0.5)
    return module


def samples(label):
    return [SegDataSample(gt_sem_seg=PixelData(data=x)) for x in label]


@pytest.mark.parametrize('training', [True, False], ids=['train', 'eval'])
@pytest.mark.parametrize('levels', [1, 2, 4])
def test_it_is_the_literal_form(levels, training):
    ours, inputs = head(levels).train(training), features(levels)
    theirs = copy.deepcopy(ours)
    outputs = ours(inputs), literal(theirs, inputs)
    assert outputs[0].shape == (3, 1, 26, 14)
    torch.testing.assert_close(*outputs, rtol=1e-10, atol=1e-10)
    upstream = torch.randn_like(outputs[0])
    gradients = []
    for module, out in zip((ours, theirs), outputs, strict=True):
        wanted = [*inputs, *module.parameters()]
        gradients.append(torch.autograd.grad(out, wanted, upstream))
    torch.testing.assert_close(*gradients, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(dict(ours.named_buffers()), dict(theirs.named_buffers()))


def test_batch_norm_takes_the_statistics_of_the_full_map():
    module, inputs = head().train(), features()
    module(inputs)
    full = F.interpolate(inputs[3], size=(26, 14), mode='bilinear', align_corners=True)
    mean = module.levels[3].conv(full).mean((0, 2, 3))
    torch.testing.assert_close(module.levels[3].bn.running_mean, 0.1 * mean)


def test_it_has_no_bias_but_those_of_batch_norm():
    names = {name for name, _ in head().named_parameters() if name.endswith('bias')}
    assert names == {f'levels.{i}.bn.bias' for i in range(4)}


def test_every_parameter_is_used():
    module = head().train()
    losses = module.loss(features(), samples(torch.randint(0, 2, (3, 1, 26, 14))), {})
    losses['loss_mask'].backward()
    assert not [n for n, p in module.named_parameters() if p.grad is None or not p.grad.any()]


@pytest.mark.parametrize('factor', [1, 4])
def test_logits_are_the_finest_size_times_the_last_upsampling(factor):
    assert head(final_upsample=factor)(features()).shape == (3, 1, 13 * factor, 7 * factor)


def test_levels_are_picked_by_index():
    module, inputs = head(2).eval(), features()
    picking = EncoderFusionHead((6, 5), 8, in_index=(1, 3)).double().eval()
    assert picking(inputs).shape == (3, 1, 14, 8)
    torch.testing.assert_close(module(inputs), module(inputs[:2]))


def test_without_norm_and_activation_it_is_linear():
    module, inputs = head(norm_cfg=None, act_cfg=None), features()
    torch.testing.assert_close(module([2 * x for x in inputs]), 2 * module(inputs))
    torch.testing.assert_close(module(inputs), literal(module, inputs))


def test_dropout_drops_whole_channels_in_training_only():
    module, inputs = head(1, dropout_ratio=0.5, act_cfg=None).eval(), features(1)
    with torch.no_grad():
        module.conv_seg.weight[:, 1:] = 0  # one channel speaks
        alone = module(inputs)
        module.dropout.train()
        ratios = torch.cat([module(inputs) / alone for _ in range(9)])
    torch.testing.assert_close(ratios, ratios[..., :1, :1].expand_as(ratios))
    assert set(ratios.round(decimals=9).unique().abs().tolist()) == {0, 2}


@pytest.mark.parametrize('cls', [EncoderFusionHead, SizeAwareDecodeHead])
def test_both_heads_share_defaults_and_refusals(cls):
    module = cls()
    assert (module.out_channels, module.threshold, module.align_corners) == (1, 0.5, True)
    assert (module.num_classes, module.dropout, module.final_upsample) == (2, None, 2)
    assert type(module.loss_decode).__name__ == 'BCEDiceLoss'
    assert cls(num_classes=3).out_channels == 3
    with pytest.raises(ValueError, match=r"DiceLoss is inverted.*type='BCEDiceLoss'"):
        cls(loss_decode=dict(type='DiceLoss', use_sigmoid=True))
    with pytest.raises(ValueError, match=r'out_channels=1 needs BCEDiceLoss\(use_sigmoid=True\)'):
        cls(loss_decode=dict(type='BCEDiceLoss', use_sigmoid=False))


def test_the_last_convolution_starts_as_torch_leaves_it():
    module = EncoderFusionHead()
    module.init_weights()
    bound = 256**-0.5  # of torch's uniform distribution; mmseg's normal has a deviation of 0.01
    weight = module.conv_seg.weight
    assert 0.9 * bound < weight.abs().max() <= bound


def test_one_channel_logs_dice_on_labels_of_another_size():
    label = torch.randint(0, 2, (3, 1, 33, 25))
    losses = head().train().loss(features(), samples(label), {})
    assert set(losses) == {'loss_mask', 'dice'}
    with pytest.raises(ValueError, match=r'got also \[7\].*LoadBinaryMask'):
        head().loss(features(), samples(torch.full_like(label, 7)), {})


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'in_channels': 64}, 'in_channels must name the channels of each level.*got 64'),
        ({'in_channels': ()}, r'in_channels must name .*got \(\)'),
        ({'in_index': (0, 1)}, r'in_index must have one entry for each .*got \(0, 1\)'),
    ],
)
def test_wrong_levels_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        EncoderFusionHead(**options)
