"""Losses against hand-computed values; empty, full and ignored masks."""

import math

import pytest
import torch

from condseg_mmseg.models import BCEDiceLoss, SIDLoss
from condseg_mmseg.models.losses import functional as F
from condseg_mmseg.models.losses.labels import check_labels, foreground_labels


def logit(p):
    return math.log(p / (1 - p))


def maps(*rows):
    return torch.tensor(rows, dtype=torch.float64)[None, None]


def square(foreground=0.07, size=100):
    """Labels with the given share of foreground, (1, size, size)."""
    label = torch.zeros(1, size * size, dtype=torch.long)
    label[:, : int(foreground * size * size)] = 1
    return label.view(1, size, size)


def test_bce_dice_of_two_pixels_by_hand():
    logits, target = maps([logit(0.8), logit(0.4)]), maps([1.0, 0.0])
    bce = -(math.log(0.8) + math.log(0.6)) / 2
    dice = 1 - (2 * 0.8 + 1) / (1.2 + 1 + 1)
    value = F.bce_dice(logits, target, torch.ones_like(target))
    assert value.item() == pytest.approx(bce + dice, rel=1e-12)


def test_ignored_pixel_counts_neither_in_bce_nor_in_dice():
    label = torch.tensor([[[1, 0, 255]]])
    logits = torch.tensor([[[[0.3, -1.0, 40.0]]]])
    with_ignored = BCEDiceLoss()(logits, label)
    without = BCEDiceLoss()(logits[..., :2], label[..., :2])
    assert with_ignored.item() == pytest.approx(without.item(), rel=1e-6)


def test_double_sigmoid_costs_what_the_specification_says():
    label = square(0.07)
    perfect = (label[:, None] * 2 - 1) * 50.0
    loss = BCEDiceLoss(double_sigmoid=True)
    assert loss(perfect, label).item() == pytest.approx(1.49, abs=0.005)
    assert loss(torch.full_like(perfect, -50.0), label).item() == pytest.approx(1.57, abs=0.005)


@pytest.mark.parametrize('foreground', [0.0, 0.07, 1.0])
def test_perfect_is_near_zero_and_beats_inverted(foreground):
    label = square(foreground)
    perfect = (label[:, None] * 2 - 1) * 50.0
    assert BCEDiceLoss()(perfect, label).item() == pytest.approx(0, abs=1e-6)
    assert BCEDiceLoss()(-perfect, label).item() > 10


def test_softmax_form_by_hand():
    probabilities = torch.tensor([[0.7, 0.2], [0.2, 0.5], [0.1, 0.3]], dtype=torch.float64)
    logits = probabilities.log().reshape(1, 3, 1, 2)
    label = torch.tensor([[[0, 2]]])
    entropy = -(math.log(0.7) + math.log(0.3)) / 2
    ratios = [
        (2 * 0.7 + 1) / (0.9 + 1 + 1),
        (0 + 1) / (0.7 + 0 + 1),
        (2 * 0.3 + 1) / (0.4 + 1 + 1),
    ]
    value = BCEDiceLoss(use_sigmoid=False)(logits, label)
    assert value.item() == pytest.approx(entropy + 1 - sum(ratios) / 3, rel=1e-12)


def test_complementary_by_hand_and_with_the_released_softmax():
    ones, zeros = torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)
    fg, bg, uc = (torch.full((1, 1, 2, 2), p) for p in (0.9, 0.2, 0.5))
    value = F.complementary(fg, bg, uc, ones)
    assert value.item() == pytest.approx(0.9 * 0.2 + 0.9 * 0.5 + 0.2 * 0.5)
    assert F.complementary(ones, zeros, zeros, ones).item() == 0
    perfect = F.complementary(ones, zeros, zeros, ones, softmax=True)
    uniform = F.complementary(ones, ones, ones, ones, softmax=True)
    assert perfect.item() == pytest.approx(0.289, abs=5e-4)
    assert uniform.item() == pytest.approx(1 / 3, rel=1e-6)


def test_area_weight_depends_on_the_batch_only_in_the_released_form():
    def weight(batch, **policy):
        prob = torch.full((batch, 1, 4, 5), 0.15)
        return F.area_weight(prob, torch.ones_like(prob), **policy).item()

    assert weight(1) == pytest.approx(6.7, abs=0.05)
    assert weight(12) == pytest.approx(1.06, abs=0.005)
    assert weight(1, reduction='mean') == pytest.approx(weight(12, reduction='mean'))


def test_area_weight_is_bounded_and_detached_by_default():
    prob = torch.full((1, 1, 4, 4), 1e-6, requires_grad=True)
    ones = torch.ones(1, 1, 4, 4)
    assert F.area_weight(prob, ones).item() == pytest.approx(10, rel=1e-6)
    assert not F.area_weight(prob, ones).requires_grad
    free = F.area_weight(prob, ones, detach=False, max_weight=None)
    assert free.item() == pytest.approx(1e6, rel=1e-3)
    assert free.requires_grad


@pytest.mark.parametrize('prob', [0.0, 1e-12])
def test_without_a_bound_an_empty_prediction_weighs_as_an_area_of_a_millionth(prob):
    empty = torch.full((2, 1, 4, 4), prob, requires_grad=True)
    weight = F.area_weight(empty, torch.ones(2, 1, 4, 4), detach=False, max_weight=None)
    assert weight.item() == pytest.approx(1e6, rel=1e-6)
    assert torch.autograd.grad(weight, empty)[0].abs().max() == 0


def test_area_and_overlap_leave_ignored_pixels_out():
    prob = torch.tensor([[[[0.2, 0.4, 1.0, 1.0]]]])
    valid = torch.tensor([[[[1.0, 1.0, 0.0, 0.0]]]])
    assert F.area_weight(prob, valid).item() == pytest.approx(1 / math.tanh(0.3), rel=1e-6)
    value = F.complementary(prob, prob, torch.zeros_like(prob), valid)
    assert value.item() == pytest.approx((0.04 + 0.16) / 2, rel=1e-6)


OFFICIAL = {'double_sigmoid': True, 'comp_softmax': True, 'detach_beta': False, 'max_beta': None}


@pytest.mark.parametrize('options', [{}, OFFICIAL], ids=['default', 'official'])
@pytest.mark.parametrize('value', [0, 1, 255], ids=['empty', 'full', 'ignored'])
def test_extreme_masks_give_finite_losses_and_gradients(value, options):
    label = torch.full((2, 6, 6), value)
    logits = [torch.randn(2, 1, 6, 6, requires_grad=True) for _ in range(4)]
    double = options.get('double_sigmoid', False)
    terms = SIDLoss(**options)(*logits[:3], label)
    total = BCEDiceLoss(double_sigmoid=double)(logits[3], label)
    total = total + sum(v for k, v in terms.items() if 'loss' in k)
    total.backward()
    assert torch.isfinite(total)
    for x in logits:
        assert torch.isfinite(x.grad).all()
        if value == 255:
            assert x.grad.abs().max() == 0
    if value == 255:
        assert total.item() == 0


def test_all_ignored_softmax_form_is_zero():
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    loss = BCEDiceLoss(use_sigmoid=False)(logits, torch.full((1, 4, 4), 255))
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-7)
    assert logits.grad.abs().max() == 0


def test_a_constant_weight_changes_nothing_for_a_perfect_mask():
    label = square()
    perfect, half = (label[:, None] * 2 - 1) * 50.0, torch.full(label.shape, 0.5)
    assert BCEDiceLoss()(perfect, label, weight=half).item() == pytest.approx(0, abs=1e-5)
    two = torch.cat((-perfect, perfect), 1)
    loss = BCEDiceLoss(use_sigmoid=False)(two, label, weight=half)
    assert loss.item() == pytest.approx(0, abs=1e-5)


def test_half_precision_logits_are_computed_in_float32():
    label = square()
    logits = (label[:, None] * 2.0 - 1).bfloat16()
    assert BCEDiceLoss()(logits, label).dtype == torch.float32


def test_logged_dice_by_hand():
    logits = torch.tensor([[[[1.0, 1.0, -1.0, 1.0]]]])
    label = torch.tensor([[[1, 0, 1, 255]]])
    assert F.binary_dice(logits, label).item() == pytest.approx(2 * 1 / (2 + 2))
    assert F.binary_dice(-logits.abs(), torch.zeros_like(label)).item() == 1


def test_foreground_labels_join_classes_and_keep_ignored():
    label = torch.tensor([[[0, 1, 2, 255]]])
    assert foreground_labels(label, (2,)).tolist() == [[[0, 0, 1, 255]]]


def test_unbinarised_labels_are_refused():
    with pytest.raises(ValueError, match=r'labels must be 0..1 or 255 .* got also \[7\]'):
        check_labels(torch.tensor([0, 1, 7, 255]), 2)


# ------------------------------------------------------------------------------ soft labels


def test_soft_labels_by_hand():
    label = torch.tensor([[[0.25, 1.0, 255.0]]])
    logits = torch.tensor([[[[logit(0.8), logit(0.4), 40.0]]]], dtype=torch.float64)
    bce = -(0.25 * math.log(0.8) + 0.75 * math.log(0.2) + math.log(0.4)) / 2
    dice = 1 - (2 * (0.8 * 0.25 + 0.4) + 1) / (0.8 + 0.4 + 0.25 + 1 + 1)
    assert BCEDiceLoss()(logits, label).item() == pytest.approx(bce + dice, rel=1e-6)
    target, valid = F.binary_target(label)
    assert (target.dtype, valid.dtype) == (torch.float32, torch.float32)
    assert target.tolist() == [[[[0.25, 1.0, 0.0]]]]
    assert valid.tolist() == [[[[1.0, 1.0, 0.0]]]]
    half = torch.full_like(label, 0.5)
    assert F.binary_target(label, weight=half)[1].tolist() == [[[[0.5, 0.5, 0.0]]]]


def test_hard_labels_as_floats_cost_the_same():
    label = torch.tensor([[[1, 0, 1, 255]], [[0, 0, 1, 1]]])
    logits = [torch.randn(2, 1, 1, 4, requires_grad=True) for _ in range(4)]

    def total(label):
        terms = SIDLoss()(*logits[:3], label, 1 - label.clamp(max=1))
        value = BCEDiceLoss()(logits[3], label) + sum(terms.values())
        return value, torch.autograd.grad(value, logits)

    (whole, whole_grads), (soft, soft_grads) = total(label), total(label.float())
    assert torch.equal(whole, soft)
    assert all(map(torch.equal, whole_grads, soft_grads))


def test_logged_dice_cuts_soft_labels_at_half():
    logits = torch.tensor([[[[1.0, 1.0, -1.0, 1.0, 1.0]]]])
    label = torch.tensor([[[0.6, 0.5, 0.9, 255.0, 0.1]]])  # foreground: the first and the third
    assert F.binary_dice(logits, label).item() == pytest.approx(2 * 1 / (3 + 2))
    assert F.binary_dice(-logits.abs(), torch.full_like(label, 0.5)).item() == 1


def test_soft_labels_pass_and_wrong_ones_are_named():
    label = torch.tensor([[[0.0, 0.25, 1.0, 255.0]]])
    check_labels(label, 2)
    assert foreground_labels(label, (1,)) is label
    with pytest.raises(ValueError, match=r'foreground of soft labels is class 1, got \(0, 1\)'):
        foreground_labels(label, (0, 1))
    with pytest.raises(ValueError, match=r'float32\) need two classes .* got num_classes=3 and'):
        check_labels(label, 3)
    for wrong in (-0.5, 1.5, 254.0, math.nan):
        with pytest.raises(ValueError, match=rf'in \[0, 1\] or be 255 .* got also \[{wrong}\]'):
            check_labels(torch.tensor([0.5, wrong]), 2)
    check_labels(torch.tensor([0.5, -1.0]), 2, ignore_index=-1)


@pytest.mark.parametrize(
    ('loss', 'options', 'message'),
    [
        (SIDLoss, {'area': 'max'}, "area must be 'sum' or 'mean', got 'max'"),
        (SIDLoss, {'max_beta': 1}, 'max_beta must be > 1'),
        (SIDLoss, {'max_beta': math.nan}, 'max_beta must be > 1 .* got nan'),
        (BCEDiceLoss, {'double_sigmoid': True, 'use_sigmoid': False}, 'needs use_sigmoid=True'),
    ],
)
def test_wrong_options_are_named(loss, options, message):
    with pytest.raises(ValueError, match=message):
        loss(**options)


def test_wrong_channel_count_is_named():
    with pytest.raises(ValueError, match=r'use_sigmoid=True\) got logits of 3'):
        BCEDiceLoss()(torch.zeros(1, 3, 2, 2), torch.zeros(1, 2, 2, dtype=torch.long))


def test_soft_labels_need_one_logit_map():
    with pytest.raises(
        ValueError, match=r'soft labels .* one logit map, got 2: set out_channels=1'
    ):
        BCEDiceLoss(use_sigmoid=False)(torch.zeros(1, 2, 2, 2), torch.full((1, 2, 2), 0.5))
