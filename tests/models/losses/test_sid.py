"""SIDLoss against hand-computed values; soft targets, ignored pixels."""

import math

import pytest
import torch

from condseg_mmseg.models import SIDLoss

OFFICIAL = {'double_sigmoid': True, 'comp_softmax': True, 'detach_beta': False, 'max_beta': None}


def logit(p):
    return math.log(p / (1 - p))


def test_sid_loss_by_hand():
    label = torch.tensor([[[1, 0]]])
    fg = torch.tensor([[[[logit(0.9), logit(0.2)]]]], dtype=torch.float64)
    bg, uc = -fg, torch.full_like(fg, logit(0.1))
    terms = SIDLoss()(fg, bg, uc, label)
    one = -(math.log(0.9) + math.log(0.8)) / 2 + 1 - (2 * 0.9 + 1) / (1.1 + 1 + 1)
    other = -(math.log(0.9) + math.log(0.8)) / 2 + 1 - (2 * 0.8 + 1) / (0.9 + 1 + 1)
    betas = 1 / math.tanh(0.55), 1 / math.tanh(0.45)
    overlap = (0.9 * 0.1 + 0.9 * 0.1 + 0.1 * 0.1 + 0.2 * 0.8 + 0.2 * 0.1 + 0.8 * 0.1) / 2
    assert terms['beta_fg'].item() == pytest.approx(betas[0], rel=1e-9)
    assert terms['beta_bg'].item() == pytest.approx(betas[1], rel=1e-9)
    assert terms['loss_fg'].item() == pytest.approx(betas[0] * one, rel=1e-9)
    assert terms['loss_bg'].item() == pytest.approx(betas[1] * other, rel=1e-9)
    assert terms['loss_comp'].item() == pytest.approx(overlap, rel=1e-9)
    assert not terms['beta_fg'].requires_grad


def test_sid_loss_with_soft_targets_by_hand():
    label, background = torch.tensor([[[0.75, 0.0]]]), torch.tensor([[[0.5, 255.0]]])
    fg = torch.tensor([[[[logit(0.9), logit(0.2)]]]], dtype=torch.float64)
    terms = SIDLoss()(fg, -fg, fg, label, background)
    one = -(0.75 * math.log(0.9) + 0.25 * math.log(0.1) + math.log(0.8)) / 2
    one += 1 - (2 * 0.9 * 0.75 + 1) / (0.9 + 0.2 + 0.75 + 1)
    other = -(0.5 * math.log(0.1) + 0.5 * math.log(0.9)) + 1 - (2 * 0.1 * 0.5 + 1) / (0.1 + 0.5 + 1)
    assert terms['loss_fg'].item() == pytest.approx(one / math.tanh(0.55), rel=1e-6)
    assert terms['loss_bg'].item() == pytest.approx(other / math.tanh(0.45), rel=1e-6)
    opposite = SIDLoss()(fg, -fg, fg, label)['loss_bg'].item()
    stored = SIDLoss()(fg, -fg, fg, label, 1 - label)['loss_bg'].item()
    assert opposite == pytest.approx(stored, rel=1e-9)


@pytest.mark.parametrize('policy', [{}, OFFICIAL], ids=['default', 'official'])
@pytest.mark.parametrize('dtype', [torch.long, torch.float32], ids=['hard', 'soft'])
def test_pixels_ignored_in_the_label_count_not_in_the_stored_background(dtype, policy):
    label = torch.tensor([[[1, 0, 255, 255, 0]]], dtype=dtype)
    background = torch.tensor([[[0, 1, 1, 0, 255]]], dtype=dtype)
    logits = [torch.randn(1, 1, 1, 5, requires_grad=True) for _ in range(3)]
    terms = SIDLoss(**policy)(*logits, label, background)
    kept = [x.detach()[..., :2] for x in logits]
    cut = SIDLoss(**policy)(*kept, label[..., :2], background[..., :2])
    loss_bg = (terms['loss_bg'] / terms['beta_bg']).item()  # beta counts the fifth pixel too
    assert loss_bg == pytest.approx((cut['loss_bg'] / cut['beta_bg']).item(), rel=1e-6)
    gradient = torch.autograd.grad(terms['loss_bg'], logits[1])[0]
    assert gradient[..., 2:4].abs().max() == 0
    assert gradient[..., :2].abs().min() > 0


@pytest.mark.parametrize('value', [0.0, 0.5, 255.0])
def test_extreme_soft_masks_give_finite_gradients(value):
    logits = [torch.randn(2, 1, 5, 5, requires_grad=True) for _ in range(3)]
    terms = SIDLoss(**OFFICIAL)(*logits, torch.full((2, 5, 5), value))
    sum(v for k, v in terms.items() if 'loss' in k).backward()
    for x in logits:
        assert torch.isfinite(x.grad).all()
        assert (x.grad.abs().max() == 0) == (value == 255)
