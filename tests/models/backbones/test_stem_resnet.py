"""ResNet with its stem: maps, weights, modes."""

import re

import pytest
import torch
from mmseg.models.backbones import ResNet

from condseg_mmseg.models import StemResNet


def test_stem_resnet_returns_the_stem_and_the_stages_of_mmseg():
    ours = StemResNet(18).eval()
    theirs = ResNet(18, num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(0, 1, 2))
    theirs.load_state_dict(ours.state_dict(), strict=True)
    theirs.eval()
    x = torch.randn(1, 3, 45, 64)
    maps = ours(x)
    assert [tuple(m.shape[1:]) for m in maps] == [
        (64, 23, 32),
        (64, 12, 16),
        (128, 6, 8),
        (256, 3, 4),
    ]
    assert torch.equal(maps[0], torch.relu(ours.norm1(ours.conv1(x))))
    for a, b in zip(maps[1:], theirs(x), strict=True):
        assert torch.equal(a, b)


def test_stem_resnet_channels_are_those_of_the_paper():
    maps = StemResNet().eval()(torch.randn(1, 3, 32, 32))
    assert [(m.shape[1], 32 // m.shape[2]) for m in maps] == [
        (64, 2),
        (256, 4),
        (512, 8),
        (1024, 16),
    ]
    assert not hasattr(StemResNet(), 'layer4')


def test_train_returns_self_and_keeps_frozen_stages_in_eval():
    net = StemResNet(18, frozen_stages=1, norm_eval=False)
    assert net.eval() is net
    assert net.train() is net
    assert not net.layer1[0].norm1.training
    assert net.layer2[0].norm1.training


@pytest.mark.parametrize('indices', [(), (1, 0), (1, 1), (0, 5), (-1,)])
def test_wrong_out_indices_are_named(indices):
    message = rf'out_indices must be ascending numbers from 0 to \d, got {re.escape(str(indices))}'
    with pytest.raises(ValueError, match=message):
        StemResNet(18, out_indices=indices)


def test_no_stage_is_built_in_vain():
    net = StemResNet(18, out_indices=(0, 1))
    assert not hasattr(net, 'layer2')
    sum(m.sum() for m in net(torch.randn(2, 3, 32, 32))).backward()
    assert not [n for n, p in net.named_parameters() if p.grad is None]
