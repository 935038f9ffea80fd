"""The neck's contract: any levels, sizes kept, SID maps only where they are asked for."""

import pytest
import torch

from condseg_mmseg.models import CDFANeck


def features(channels, sizes, n=2):
    return [torch.randn(n, c, *size) for c, size in zip(channels, sizes, strict=True)]


LEVELS = [
    ([3], [(5, 7)]),
    ([3, 4], [(16, 24), (8, 12)]),
    ([3, 4, 5, 6], [(17, 31), (9, 16), (5, 8), (3, 4)]),
    ([3, 4, 5], [(12, 12), (12, 12), (3, 3)]),  # a dilated stage, then a step of 4
    ([3, 4, 5, 6, 7], [(16, 16), (8, 8), (4, 4), (2, 2), (1, 1)]),
]


@pytest.mark.parametrize(('channels', 'sizes'), LEVELS, ids=lambda x: str(len(x)))
def test_one_map_a_level_of_its_size(channels, sizes):
    neck = CDFANeck(channels, out_channels=8, num_heads=2).eval()
    out = neck(features(channels, sizes))
    assert [tuple(x.shape) for x in out] == [(2, 8, *size) for size in sizes]


def test_sid_maps_in_training_always_and_in_eval_on_demand():
    channels, sizes = LEVELS[1]
    x = features(channels, sizes)
    neck = CDFANeck(channels, out_channels=8, num_heads=2, sid_outputs=True)
    calls = []
    neck.sid.uncertainty.register_forward_hook(lambda *_: calls.append(1))
    out = neck.train()(x)
    assert [tuple(y.shape[-2:]) for y in out] == [*sizes, *[sizes[-1]] * 3]
    assert len(neck.eval()(x)) == 2
    assert len(calls) == 1  # the uncertainty branch did not run in eval mode
    neck.sid_in_eval = True
    shown = neck(x)
    assert len(shown) == 5
    neck.sid_in_eval = False
    for a, b in zip(neck(x), shown, strict=False):
        assert torch.equal(a, b)


def test_without_sid_outputs_nothing_is_left_untrained():
    channels = LEVELS[2][0]
    neck = CDFANeck(channels, out_channels=8, num_heads=2).train()
    out = neck(features(channels, [(32, 32), (16, 16), (8, 8), (4, 4)]))
    sum(y.square().sum() for y in out).backward()
    assert not [n for n, p in neck.named_parameters() if p.grad is None]
    assert neck.sid.uncertainty is None


def test_neck_and_heads_build_whatever_the_default_scope_is():
    """Another OpenMMLab package may have set its own scope in the same process."""
    from mmengine.registry import DefaultScope

    from condseg_mmseg.models import SIDHead, SizeAwareDecodeHead

    with DefaultScope.overwrite_default_scope('mmengine'):
        CDFANeck([3, 4], out_channels=8, num_heads=2, sid_outputs=True)
        assert type(SIDHead(8, (4,)).loss_decode).__name__ == 'SIDLoss'
        head = SizeAwareDecodeHead([8] * 4, 8)
        assert type(head.loss_decode).__name__ == 'BCEDiceLoss'


def test_coarse_levels_reach_the_finest_result():
    channels, sizes = LEVELS[1]
    x = features(channels, sizes)
    neck = CDFANeck(channels, out_channels=8, num_heads=2).eval()
    changed = neck([x[0], x[1] + 1])[0]
    assert not torch.allclose(neck(x)[0], changed)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'in_channels': []}, 'one or more levels'),
        ({'in_channels': 64}, 'one or more levels, got 64'),
        ({'in_channels': [3], 'sid_in_eval': True}, 'sid_in_eval=True needs sid_outputs=True'),
        ({'in_channels': [3], 'num_heads': 3}, 'num_heads must divide channels=8, got 3'),
    ],
)
def test_wrong_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        CDFANeck(**({'out_channels': 8, 'num_heads': 2} | options))


def test_maps_of_other_channels_are_named():
    neck = CDFANeck([3, 4], out_channels=8, num_heads=2)
    with pytest.raises(ValueError, match=r'in_channels=\(3, 4\) .* returned maps of \(4, 3\)'):
        neck(features([4, 3], [(4, 4), (2, 2)]))
