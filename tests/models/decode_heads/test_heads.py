"""The two heads: shapes, what they log, what they refuse."""

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from condseg_mmseg.models import SIDHead, SizeAwareDecodeHead

SIZES = [(16, 12), (8, 6), (4, 3), (2, 2)]


def features(channels=8, sizes=SIZES, n=2):
    return [torch.randn(n, channels, *size) for size in sizes]


def samples(label):
    return [SegDataSample(gt_sem_seg=PixelData(data=x)) for x in label]


def head(**options):
    return SizeAwareDecodeHead(
        **({'in_channels': [8] * 4, 'channels': 8, 'head_channels': (6, 5)} | options)
    )


@pytest.mark.parametrize('factor', [1, 2, 4])
def test_logits_are_the_finest_size_times_the_last_upsampling(factor):
    out = head(final_upsample=factor).eval()(features())
    assert out.shape == (2, 1, 16 * factor, 12 * factor)


def test_binary_defaults_are_ours_not_those_of_mmseg():
    module = head()
    assert (module.out_channels, module.threshold, module.align_corners) == (1, 0.5, True)
    assert module.dropout is None
    assert type(module.loss_decode).__name__ == 'BCEDiceLoss'


def test_every_parameter_is_used():
    module = head().train()
    label = torch.randint(0, 2, (2, 1, 32, 24))
    losses = module.loss(features(), samples(label), {})
    losses['loss_mask'].backward()
    assert not [n for n, p in module.named_parameters() if p.grad is None]


def test_one_channel_logs_dice_and_no_acc_seg():
    module = head().train()
    label = torch.randint(0, 2, (2, 1, 33, 25))  # another size than the logits
    losses = module.loss(features(), samples(label), {})
    assert set(losses) == {'loss_mask', 'dice'}
    assert not losses['dice'].requires_grad
    assert 0 <= losses['dice'] <= 1


def test_more_classes_use_softmax():
    module = head(num_classes=3).train()
    assert module.out_channels == 3
    label = torch.randint(0, 3, (2, 1, 32, 24))
    label[0, 0, 0] = 255
    losses = module.loss(features(), samples(label), {})
    assert set(losses) == {'loss_mask', 'acc_seg'}
    assert torch.isfinite(losses['loss_mask'])


def test_losses_of_one_name_are_added():
    one = dict(type='BCEDiceLoss')
    x, label = features(), torch.randint(0, 2, (2, 1, 32, 24))
    module = head(loss_decode=[one, dict(one, loss_weight=2.0)]).eval()
    single = head().eval()
    single.load_state_dict(module.state_dict())
    value = module.loss(x, samples(label), {})['loss_mask']
    assert value.item() == pytest.approx(3 * single.loss(x, samples(label), {})['loss_mask'].item())


def test_inverted_dice_loss_of_mmseg_is_refused():
    with pytest.raises(ValueError, match=r"DiceLoss is inverted.*type='BCEDiceLoss'"):
        head(loss_decode=dict(type='DiceLoss', use_sigmoid=True))
    assert head(num_classes=3, loss_decode=dict(type='DiceLoss')).out_channels == 3


def test_the_loss_must_fit_the_channels():
    with pytest.raises(ValueError, match=r'out_channels=3 needs BCEDiceLoss\(use_sigmoid=False\)'):
        head(num_classes=3, loss_decode=dict(type='BCEDiceLoss'))
    with pytest.raises(ValueError, match=r'out_channels=1 needs BCEDiceLoss\(use_sigmoid=True\)'):
        head(loss_decode=dict(type='BCEDiceLoss', use_sigmoid=False))


def test_four_levels_are_needed():
    with pytest.raises(ValueError, match='four levels'):
        head(in_channels=[8] * 3)


@pytest.mark.parametrize('module', [head, lambda: SIDHead(8, (4, 4))], ids=['decoder', 'sid'])
def test_masks_that_were_not_binarised_are_refused(module):
    label = torch.full((2, 1, 32, 24), 128)
    with pytest.raises(ValueError, match=r'got also \[128\].*LoadBinaryMask'):
        module().loss([*features(), *features(sizes=SIZES[-1:] * 3)], samples(label), {})


def test_sid_head_reads_the_last_three_and_upsamples_by_its_widths():
    module = SIDHead(8, channels=(6, 5, 4)).eval()
    x = features(sizes=[*SIZES, (3, 5), (3, 5), (3, 5)])
    out = module(x)
    assert [tuple(y.shape) for y in out] == [(2, 1, 12, 20)] * 3
    assert torch.equal(out[2], module.uncertainty(x[-1]))


def test_sid_head_logs_weighted_losses_and_betas():
    module = SIDHead(8, channels=(6, 5)).train()
    label = torch.randint(0, 2, (2, 1, 32, 24))
    losses = module.loss(features(sizes=[*SIZES, *SIZES[-1:] * 3]), samples(label), {})
    assert set(losses) == {'loss_fg', 'loss_bg', 'loss_comp', 'beta_fg', 'beta_bg'}
    sum(v for k, v in losses.items() if 'loss' in k).backward()
    assert not [n for n, p in module.named_parameters() if p.grad is None]


def test_sid_foreground_is_the_union_of_the_named_classes():
    label = torch.tensor([[[[0, 1, 2, 255]]]]).expand(2, 1, 1, 4)
    x = [torch.zeros(2, 8, 1, 1), *[torch.randn(2, 8, 1, 4)] * 3]

    def loss(**options):
        torch.manual_seed(0)
        return SIDHead(8, (4,), **options).eval().loss(x, samples(label), {})['loss_fg'].item()

    binary = torch.tensor([[[[0, 0, 1, 255]]]]).expand(2, 1, 1, 4)
    torch.manual_seed(0)
    expected = SIDHead(8, (4,)).eval().loss(x, samples(binary), {})['loss_fg'].item()
    assert loss(num_classes=3, foreground_classes=(2,)) == pytest.approx(expected)
    assert loss(num_classes=3) != pytest.approx(expected)


def test_sid_head_says_what_is_missing():
    with pytest.raises(ValueError, match='set sid_outputs=True'):
        SIDHead(8, (4,))(features()[:3])
    with pytest.raises(ValueError, match='foreground_classes must be class indices below'):
        SIDHead(8, (4,), num_classes=2, foreground_classes=(2,))
    with pytest.raises(ValueError, match=r'foreground_classes .* got \(\)'):
        SIDHead(8, (4,), foreground_classes=())
    with pytest.raises(ValueError, match=r'num_classes counts the background.*got 1'):
        SIDHead(8, (4,), num_classes=1, foreground_classes=(0,))


def test_stored_background_is_the_target_of_bg():
    label = torch.randint(0, 2, (2, 1, 8, 8))
    x = features(sizes=[*SIZES, *SIZES[-1:] * 3])
    module = SIDHead(8, channels=(6, 5)).eval()
    complement = module.loss(x, samples(label), {})
    module.background_target = 'stored'
    batch = samples(label)
    for sample, mask in zip(batch, 1 - label, strict=True):
        sample.set_metainfo({'background_mask': mask[0].numpy().astype('uint8')})
    same = module.loss(x, batch, {})
    assert {k: v.item() for k, v in same.items()} == {k: v.item() for k, v in complement.items()}
    for sample, mask in zip(batch, label, strict=True):
        sample.set_metainfo({'background_mask': mask[0].numpy().astype('uint8')})
    other = module.loss(x, batch, {})
    assert other['loss_bg'].item() != pytest.approx(complement['loss_bg'].item())
    assert other['loss_fg'].item() == complement['loss_fg'].item()
    with pytest.raises(ValueError, match="background_target='stored' needs a background_mask"):
        module.loss(x, samples(label), {})
    with pytest.raises(ValueError, match="must be 'complement' or 'stored', got 'other'"):
        SIDHead(8, background_target='other')


# ------------------------------------------------------------------------------ soft labels


def bce_dice(logits, target, valid):
    """BCE-Dice written out in numpy, float64, over the valid pixels."""
    p = 1 / (1 + np.exp(-logits.detach().double().numpy()[valid]))
    y = target.double().numpy()[valid]
    bce = -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean()
    return bce + 1 - (2 * (p * y).sum() + 1) / (p.sum() + y.sum() + 1)


def test_a_training_step_with_soft_labels_by_hand():
    """Label in [0, 1] with an ignored corner, background stored and misplaced."""
    label = torch.rand(2, 1, 32, 24)
    label[:, :, 28:, 20:] = 255
    valid = (label != 255).numpy()
    background = torch.where(label == 255, 255, 1 - label).flip(-1)
    kept = valid & (background != 255).numpy()  # ignored in one of them
    batch = samples(label)
    for sample, mask in zip(batch, background, strict=True):
        sample.set_metainfo({'background_mask': mask[0].numpy()})
    decoder = head().eval()
    sid = SIDHead(8, (6, 5, 4, 3), background_target='stored').eval()
    inputs = features(sizes=[*SIZES, (4, 3), (4, 3), (4, 3)])
    decoder_losses, sid_losses = decoder.loss(inputs, batch, {}), sid.loss(inputs, batch, {})

    logits = decoder(inputs)
    assert logits.shape == label.shape  # no resize between logits and loss
    expected = bce_dice(logits, label, valid)
    assert decoder_losses['loss_mask'].item() == pytest.approx(expected, rel=1e-5)
    pred, truth = logits.detach().numpy()[valid] > 0, label.numpy()[valid] > 0.5
    dice = 2 * (pred & truth).sum() / (pred.sum() + truth.sum())
    assert decoder_losses['dice'].item() == pytest.approx(dice, rel=1e-6)

    fg, bg, uc = sid(inputs)
    assert fg.shape == label.shape
    areas = [torch.sigmoid(x.detach()).numpy() for x in (fg, bg, uc)]
    shares = [sum(one[ok].mean() for one, ok in zip(a, valid, strict=True)) for a in areas]
    betas = [min(10, 1 / np.tanh(share)) for share in shares]
    assert sid_losses['loss_fg'].item() == pytest.approx(
        betas[0] * bce_dice(fg, label, valid), rel=1e-5
    )
    assert sid_losses['loss_bg'].item() == pytest.approx(
        betas[1] * bce_dice(bg, background, kept), rel=1e-5
    )
    a, b, c = (area[valid] for area in areas)
    assert sid_losses['loss_comp'].item() == pytest.approx((a * b + a * c + b * c).mean(), rel=1e-5)
    total = decoder_losses['loss_mask'] + sum(v for k, v in sid_losses.items() if 'loss' in k)
    total.backward()
    for module in (decoder, sid):
        assert not [n for n, p in module.named_parameters() if p.grad is None]


def test_soft_labels_the_heads_refuse():
    x = [*features(), *features(sizes=SIZES[-1:] * 3)]
    grey = torch.full((2, 1, 8, 8), 128.0)
    for module in (head(), SIDHead(8, (4,))):
        with pytest.raises(ValueError, match=r'or be 255 .* got also \[128.0\]: .*LoadSoftMask'):
            module.loss(x, samples(grey), {})
    with pytest.raises(ValueError, match=r'need two classes .* got num_classes=3 and'):
        head(num_classes=3).loss(x, samples(grey / 255), {})
    for loss in (dict(type='BCEDiceLoss', use_sigmoid=False), dict(type='CrossEntropyLoss')):
        two = head(out_channels=2, loss_decode=loss)
        with pytest.raises(
            ValueError,
            match=r'need two classes and one logit map, got .* 2 map.*set out_channels=1',
        ):
            two.loss(x, samples(grey / 255), {})


@pytest.mark.parametrize(
    ('label', 'stored', 'message'),
    [
        (torch.zeros(8, 8).long(), np.zeros((8, 8), np.float32), 'soft, the mask is not'),
        (torch.zeros(8, 8), np.zeros((9, 9), np.float32), r'\(8, 8\).*got \[\(9, 9\), None\]'),
        (torch.zeros(8, 8), np.full((8, 8), 1.5, np.float32), r'got also \[1.5\]'),
        (torch.zeros(8, 8), np.full((8, 8), 200, np.uint8), r'got also \[200\]'),
    ],
)
def test_stored_masks_that_do_not_fit(label, stored, message):
    batch = samples(label.expand(2, 1, 8, 8))
    for sample in batch[: 1 if stored.shape == (9, 9) else 2]:
        sample.set_metainfo({'background_mask': stored})
    module = SIDHead(8, (4,), background_target='stored')
    with pytest.raises(ValueError, match=message):
        module.loss(features(sizes=[*SIZES, *SIZES[-1:] * 3]), batch, {})


def test_a_hard_stored_mask_goes_with_soft_labels():
    label, module = torch.rand(2, 1, 8, 8), SIDHead(8, (6,), background_target='stored').eval()
    x, values = features(sizes=[*SIZES, *[(8, 8)] * 3]), []
    for dtype in (np.uint8, np.float32):
        batch = samples(label)
        for sample in batch:
            sample.set_metainfo({'background_mask': np.eye(8, dtype=dtype)})
        values.append(module.loss(x, batch, {})['loss_bg'].item())
    assert values[0] == values[1]
