"""L_cons against values by hand."""

import math

import pytest
import torch

from condseg_mmseg.models import ConsistencyLoss
from condseg_mmseg.models.losses import functional as F


def maps(*probabilities):
    return torch.tensor(probabilities, dtype=torch.float64).logit().view(1, 1, 1, -1)


# view 1 says (0.9, 0.4), view 2 says (0.3, 0.2): they disagree on the first pixel
ONE, TWO = maps(0.9, 0.4), maps(0.3, 0.2)
TOWARDS_TWO = -(math.log(1 - 0.9) + math.log(1 - 0.4)) / 2
TOWARDS_ONE = -(math.log(0.3) + math.log(1 - 0.2)) / 2


def test_two_pixels_by_hand():
    valid = torch.ones_like(ONE)
    total = TOWARDS_TWO + TOWARDS_ONE
    assert F.consistency(ONE, TWO, valid).item() == pytest.approx(total, rel=1e-12)
    assert ConsistencyLoss()(ONE, TWO).item() == pytest.approx(total / 2, rel=1e-12)
    assert ConsistencyLoss(loss_weight=1.0)(ONE, TWO).item() == pytest.approx(total, rel=1e-12)


def test_threshold_is_on_the_probability():
    # at 0.25 the first pixel of view 2 and both of view 1 are foreground
    first = -(math.log(0.9) + math.log(1 - 0.4)) / 2
    second = -(math.log(0.3) + math.log(0.2)) / 2
    value = F.consistency(ONE, TWO, torch.ones_like(ONE), threshold=0.25)
    assert value.item() == pytest.approx(first + second, rel=1e-12)


def test_masks_are_constants_to_the_gradient():
    logits = [ONE.clone().requires_grad_(), TWO.clone().requires_grad_()]
    F.consistency(*logits, torch.ones_like(ONE)).backward()
    # d BCE / d logit = (p - target) / pixels
    torch.testing.assert_close(logits[0].grad, torch.tensor([[[[0.9, 0.4]]]]).double() / 2)
    torch.testing.assert_close(logits[1].grad, torch.tensor([[[[0.3 - 1, 0.2]]]]).double() / 2)


def test_ignored_pixels_count_nowhere():
    one, two = maps(0.9, 0.4, 0.99), maps(0.3, 0.2, 0.01)
    value = ConsistencyLoss()(one, two, torch.tensor([[[1, 0, 255]]]))
    assert value.item() == pytest.approx(ConsistencyLoss()(ONE, TWO).item(), rel=1e-9)
    other = ConsistencyLoss()(one, two, torch.tensor([[[1, 0, 7]]]), ignore_index=7)
    assert other.item() == pytest.approx(value.item(), rel=1e-9)


def test_a_batch_of_ignored_pixels_is_zero_with_zero_gradients():
    logits = torch.randn(2, 1, 3, 3, requires_grad=True)
    loss = ConsistencyLoss()(logits, -logits, torch.full((2, 3, 3), 255))
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()


def test_agreement_costs_less_than_contradiction():
    sure = torch.randn(2, 1, 5, 7).sign() * 50
    assert ConsistencyLoss()(sure, sure).item() == pytest.approx(0, abs=1e-6)
    assert ConsistencyLoss()(sure, -sure).item() == pytest.approx(50, rel=1e-6)
    one, two = torch.randn(2, 2, 1, 5, 7)
    torch.testing.assert_close(ConsistencyLoss()(one, two), ConsistencyLoss()(two, one))


def test_half_precision_is_computed_in_float32():
    one, two = torch.randn(2, 1, 1, 40, 40).bfloat16().split(1)
    value = ConsistencyLoss()(one, two)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(ConsistencyLoss()(one.float(), two.float()).item())


def test_wrong_options_and_shapes_are_named():
    for wrong in (1, 0, -0.5, math.nan):
        with pytest.raises(ValueError, match=rf'threshold is on a probability, .* got {wrong}'):
            ConsistencyLoss(threshold=wrong)
    with pytest.raises(ValueError, match=r'got \(1, 2, 3, 3\) and \(1, 2, 3, 3\)'):
        ConsistencyLoss()(torch.zeros(1, 2, 3, 3), torch.zeros(1, 2, 3, 3))
    with pytest.raises(ValueError, match=r'got \(1, 1, 3, 3\) and \(1, 1, 6, 6\)'):
        ConsistencyLoss()(torch.zeros(1, 1, 3, 3), torch.zeros(1, 1, 6, 6))
