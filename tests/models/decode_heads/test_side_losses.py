"""What U-Net, U-Net++ and PraNet share: shapes, gradients, side losses, what they refuse."""

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from condseg_mmseg.models import PraNetHead, UNetHead

WIDTHS = (4, 6, 3, 5)
SIZES = [(17, 24), (9, 12), (5, 6), (3, 3)]  # of 33 x 47 pixels, and strides 2, 4, 8, 16
HEADS = {
    'unet': lambda widths=WIDTHS, **options: UNetHead(widths, 4, **options),
    'unet++': lambda widths=WIDTHS, **options: UNetHead(widths, 4, nested=True, **options),
    'deep unet++': lambda widths=WIDTHS, **options: UNetHead(
        widths, 4, nested=True, deep_supervision=True, **options
    ),
    'pranet': lambda widths=WIDTHS, **options: PraNetHead(
        widths, 4, reverse_channels=[4] * len(widths), **options
    ),
}
every_head = pytest.mark.parametrize('make', HEADS.values(), ids=HEADS)


def features(levels=4, n=2, scale=1):
    return [
        torch.randn(n, c, scale * height, scale * width, requires_grad=True)
        for c, (height, width) in zip(WIDTHS[:levels], SIZES, strict=False)
    ]


def samples(size=(33, 47), n=2):
    label = torch.randint(0, 2, (n, 1, *size))
    return [SegDataSample(gt_sem_seg=PixelData(data=x)) for x in label]


@every_head
@pytest.mark.parametrize('levels', [2, 3, 4])
def test_odd_sizes_and_any_number_of_levels(make, levels):
    head = make(WIDTHS[:levels]).eval()
    finest = (17, 24) if isinstance(head, PraNetHead) else (34, 48)
    assert head(features(levels)).shape == (2, 1, *finest)


@every_head
def test_strides_may_skip_and_levels_are_picked(make):
    head = make((4, 5), in_index=(0, 3)).eval()  # strides 2 and 16
    picked = features()
    torch.testing.assert_close(head(picked), make_same(make, head)([picked[0], picked[3]]))


def make_same(make, head):
    other = make((4, 5)).eval()
    other.load_state_dict(head.state_dict())
    return other


@every_head
def test_gradients_reach_every_parameter_and_level(make):
    # the dilation of 7 must reach into the coarsest map, or BatchNorm removes the bias before it
    head, inputs = make().train(), features(scale=3)
    losses = head.loss(inputs, samples(), {})
    sum(value for name, value in losses.items() if 'loss' in name).backward()
    assert not [n for n, p in head.named_parameters() if p.grad is None or not p.grad.any()]
    assert all(x.grad.any() for x in inputs)
    assert all(value.isfinite() for value in losses.values())


@every_head
def test_each_side_map_gets_the_loss_and_the_last_one_is_the_prediction(make):
    head, inputs, truth = make().eval(), features(), samples()
    maps = head.all_logits(inputs)
    losses = head.loss(inputs, truth, {})
    number = {'unet': 0, 'unet++': 0, 'deep unet++': 2, 'pranet': 4}
    assert len(maps) - 1 == number[next(k for k, v in HEADS.items() if v is make)]
    names = [f'loss_mask_side{i}' for i in range(len(maps) - 1)]
    assert set(losses) == {'loss_mask', 'dice', *names}
    for name, logits in zip([*names, 'loss_mask'], maps, strict=True):
        expected = head.loss_by_feat(logits, truth)['loss_mask']
        assert losses[name].item() == pytest.approx(expected.item())
    torch.testing.assert_close(head(inputs), maps[-1])


@every_head
def test_batch_of_one_in_eval_is_each_image_by_itself(make):
    head, inputs = make().eval().double(), [x.double() for x in features()]
    alone = torch.cat([head([x[i : i + 1] for x in inputs]) for i in range(2)])
    torch.testing.assert_close(head(inputs), alone)


@every_head
def test_wrong_levels_are_named(make):
    head, inputs = make(), features()
    with pytest.raises(ValueError, match=r'in_channels=\[4, 6, 3, 5\].*and got \[4, 6, 5, 3\]'):
        head([inputs[0], inputs[1], inputs[3], inputs[2]])
    with pytest.raises(ValueError, match=r'two levels or more, got in_channels=\(4,\)'):
        make((4,))
    with pytest.raises(ValueError, match='DiceLoss is inverted'):
        make(loss_decode=dict(type='DiceLoss', use_sigmoid=True))
