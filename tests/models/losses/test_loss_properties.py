"""Properties of the losses over generated logits and labels."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from properties import few
from torch import Tensor

from condseg_mmseg.models.losses.functional import bce, bce_dice, binary_target, dice_loss


@st.composite
def cases(draw) -> tuple[Tensor, Tensor]:
    """Logits (n, 1, h, w) in float64 and labels 0, 1 and 255, with a valid pixel in each image."""
    n, h, w = (draw(st.integers(1, top)) for top in (3, 13, 11))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    scale = draw(st.sampled_from((0.1, 1.0, 30.0)))
    logits = scale * torch.randn(n, 1, h, w, dtype=torch.float64, generator=generator)
    label = torch.randint(0, 2, (n, h, w), generator=generator)
    label[torch.rand(n, h, w, generator=generator) < draw(st.sampled_from((0.0, 0.3)))] = 255
    label[:, 0, 0] = draw(st.integers(0, 1))
    return logits, label


@few
@given(cases())
def test_losses_are_bounded_and_their_gradients_finite(case):
    logits, label = case
    target, valid = binary_target(label)
    logits.requires_grad_()
    loss = bce_dice(logits, target, valid)
    assert 0 <= float(dice_loss(logits.sigmoid(), target, valid)) <= 1
    assert float(bce(logits, target, valid)) >= 0
    (gradient,) = torch.autograd.grad(loss, logits)
    assert torch.isfinite(gradient).all()
    ignored = (label == 255).unsqueeze(1)
    assert (gradient[ignored] == 0).all()


@few
@given(cases())
def test_a_perfect_prediction_costs_nothing_and_less_than_any_other(case):
    logits, label = case
    target, valid = binary_target(label)
    perfect = 1000 * (2 * target - 1).to(logits).reshape(logits.shape)
    assert float(bce_dice(perfect, target, valid)) == 0
    # a pixel on the wrong side costs log 2 or more, an inverted one its logit
    wrong = valid * ((logits > 0) != (target == 1))
    least = math.log(2) * float(wrong.sum() / valid.sum())
    assert float(bce_dice(logits, target, valid)) >= least
    assert float(bce_dice(logits, target, valid)) > 0
    inverted = bce_dice(-perfect, target, valid)
    smooth = (1 + 0) / (1 + float(valid.sum()))  # p is 1 where the target is 0: no overlap
    assert float(inverted) == pytest.approx(1000 + 1 - smooth, rel=1e-9)


@few
@given(cases())
def test_foreground_and_background_may_be_exchanged_in_the_cross_entropy(case):
    logits, label = case
    swapped = torch.where(label == 255, label, 1 - label)
    pair = [bce(x, *binary_target(y)) for x, y in ((logits, label), (-logits, swapped))]
    torch.testing.assert_close(*pair)


@few
@given(cases(), st.sampled_from(((-1,), (-2,), (-1, -2))))
def test_a_flip_of_both_changes_nothing(case, dims):
    logits, label = case
    before = bce_dice(logits, *binary_target(label))
    after = bce_dice(logits.flip(dims), *binary_target(label.flip(dims)))
    torch.testing.assert_close(before, after)
