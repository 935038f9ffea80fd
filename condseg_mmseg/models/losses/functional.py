"""The losses of ConDSeg as pure functions (torch only).

Everywhere ``valid`` is a weight per pixel, 0 where a pixel is ignored, and sums run over the whole
batch: that of this process, or with ``over_ranks`` that of all processes (``ranks.py``). Half
precision is computed in float32. A batch without a valid pixel costs 0 and has zero gradients.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .labels import IGNORE_INDEX
from .ranks import sum_over_ranks


def _full(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _ratio(part: Tensor, whole: Tensor, over_ranks: bool) -> Tensor:
    part, whole = _sums(part, whole, over_ranks=over_ranks)
    return part / whole.clamp(min=1e-12)


def _sums(*maps: Tensor, over_ranks: bool, dims: tuple[int, ...] = ()) -> tuple[Tensor, ...]:
    sums = torch.stack([x.sum(dims) if dims else x.sum() for x in maps])
    return (sum_over_ranks(sums) if over_ranks else sums).unbind()


def binary_target(
    label: Tensor, ignore_index: int = IGNORE_INDEX, weight: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Split 0/1/ignored labels into target and valid weights.

    Args:
        label: 0, 1 or ``ignore_index``, or floating and soft in [0, 1], (N, H, W).
        ignore_index: Label that counts nowhere. Default 255.
        weight: Further weight per pixel, (N, H, W). Default None.

    Returns:
        target and valid, both float32 (N, 1, H, W).
    """
    label = label.unsqueeze(1)
    valid = (label != ignore_index).float()
    if label.is_floating_point():
        target = torch.where(label == ignore_index, 0, label).float()
    else:
        target = (label == 1).float()
    if weight is not None:
        valid = valid * weight.unsqueeze(1)
    return target, valid


def bce(logits: Tensor, target: Tensor, valid: Tensor, over_ranks: bool = False) -> Tensor:
    """Mean binary cross-entropy over valid pixels.

    Args:
        logits: (N, 1, H, W).
        target: In [0, 1], (N, 1, H, W).
        valid: Weights, (N, 1, H, W).
        over_ranks: Whether the sums are those of all processes. Default False.

    Returns:
        Scalar.
    """
    logits = _full(logits)
    loss = F.binary_cross_entropy_with_logits(logits, target.to(logits.dtype), reduction='none')
    return _ratio(loss * valid, valid, over_ranks)


def dice_loss(
    prob: Tensor, target: Tensor, valid: Tensor, smooth: float = 1.0, over_ranks: bool = False
) -> Tensor:
    """Compute 1 - (2 sum(p y) + smooth) / (sum p + sum y + smooth) over the whole batch.

    Args:
        prob: Probabilities, (N, 1, H, W).
        target: In [0, 1], (N, 1, H, W).
        valid: Weights, (N, 1, H, W).
        smooth: Added above and below. Default 1.
        over_ranks: Whether the sums are those of all processes. Default False.

    Returns:
        Scalar.
    """
    prob = _full(prob)
    parts = prob * target * valid, (prob + target) * valid
    overlap, total = _sums(*parts, over_ranks=over_ranks)
    return 1 - (2 * overlap + smooth) / (total + smooth)


def bce_dice(
    logits: Tensor,
    target: Tensor,
    valid: Tensor,
    double_sigmoid: bool = False,
    smooth: float = 1.0,
    over_ranks: bool = False,
) -> Tensor:
    """BCE plus Dice of one logit map (method section "Stage 2").

    Args:
        logits: (N, 1, H, W).
        target: In [0, 1], (N, 1, H, W).
        valid: Weights, (N, 1, H, W).
        double_sigmoid: Apply the sigmoid once more, as the released code does: a perfect mask then
            still costs 1.49 at 7 % foreground. Default False.
        smooth: Of the Dice term. Default 1.
        over_ranks: Whether the sums are those of all processes. Default False.

    Returns:
        Scalar.
    """
    logits = _full(logits)
    if double_sigmoid:
        logits = torch.sigmoid(logits)
    dice = dice_loss(torch.sigmoid(logits), target, valid, smooth, over_ranks)
    return bce(logits, target, valid, over_ranks) + dice


def ce_dice(
    logits: Tensor,
    label: Tensor,
    ignore_index: int,
    weight: Tensor | None,
    smooth: float = 1.0,
    over_ranks: bool = False,
) -> Tensor:
    """Softmax cross-entropy plus the mean Dice loss of all classes, over valid pixels.

    Args:
        logits: (N, K, H, W).
        label: Class indices or ``ignore_index``, (N, H, W).
        ignore_index: Label that counts nowhere.
        weight: Further weight per pixel, (N, H, W), or None.
        smooth: Of the Dice term. Default 1.
        over_ranks: Whether the sums are those of all processes. Default False.

    Returns:
        Scalar.
    """
    logits = _full(logits)
    valid = (label != ignore_index).to(logits.dtype)
    if weight is not None:
        valid = valid * weight
    safe = torch.where(label == ignore_index, torch.zeros_like(label), label)
    loss = F.cross_entropy(logits, safe, reduction='none')
    entropy = _ratio(loss * valid, valid, over_ranks)
    prob, weights = torch.softmax(logits, 1), valid.unsqueeze(1)
    target = F.one_hot(safe, logits.shape[1]).movedim(-1, 1)
    parts = prob * target * weights, (prob + target) * weights
    overlap, total = _sums(*parts, over_ranks=over_ranks, dims=(0, 2, 3))
    ratio = (2 * overlap + smooth) / (total + smooth)
    return entropy + 1 - ratio.mean()


def consistency(
    logits: Tensor, other: Tensor, valid: Tensor, threshold: float = 0.5, over_ranks: bool = False
) -> Tensor:
    """Each view's BCE against the other view's thresholded mask (paper, equation of L_cons).

    ``BCE(M1, 1[M2 > t]) + BCE(M2, 1[M1 > t])``; the masks are constants to the gradient.

    Args:
        logits: Of one view, (N, 1, H, W).
        other: Of the other view, (N, 1, H, W).
        valid: Weights, (N, 1, H, W).
        threshold: t, on the probability. Default 0.5.
        over_ranks: Whether the sums are those of all processes. Default False.

    Returns:
        Scalar.
    """
    logits, other = _full(logits), _full(other)
    with torch.no_grad():
        mask = (logits.sigmoid() > threshold).to(logits.dtype)
        other_mask = (other.sigmoid() > threshold).to(other.dtype)
    return bce(logits, other_mask, valid, over_ranks) + bce(other, mask, valid, over_ranks)


def complementary(
    fg: Tensor,
    bg: Tensor,
    uc: Tensor,
    valid: Tensor,
    softmax: bool = False,
    over_ranks: bool = False,
) -> Tensor:
    """Mean over valid pixels of fg*bg + fg*uc + bg*uc (paper, equation of L_comp).

    Args:
        fg: Probabilities, (N, 1, H, W).
        bg: Probabilities, (N, 1, H, W).
        uc: Probabilities, (N, 1, H, W).
        valid: Weights, (N, 1, H, W).
        softmax: Take a softmax over the three first, as the released code does: perfect maps then
            still cost 0.289. Default False.
        over_ranks: Whether the sums are those of all processes. Default False.

    Returns:
        Scalar.
    """
    if softmax:
        fg, bg, uc = torch.softmax(torch.cat((fg, bg, uc), 1), 1).split(1, 1)
    overlap = fg * bg + fg * uc + bg * uc
    return _ratio(overlap * valid, valid, over_ranks)


def area_weight(
    prob: Tensor,
    valid: Tensor,
    reduction: str = 'sum',
    detach: bool = True,
    max_weight: float | None = 10.0,
    over_ranks: bool = False,
) -> Tensor:
    """Compute beta = 1 / tanh(area), which grows as the predicted region shrinks.

    Args:
        prob: Probabilities, (N, 1, H, W).
        valid: Weights, (N, 1, H, W).
        reduction: 'sum' over the batch of each image's share of valid pixels (released code: it
            depends on the batch size) or their 'mean' over images that have any. Default 'sum'.
        detach: Whether beta carries no gradient. Default True.
        max_weight: Upper bound of beta, reached by raising small areas. Default 10; None: areas
            are raised to 1e-6 only, so that an empty prediction weighs 1e6.
        over_ranks: Whether the sums are those of all processes. Default False.

    Returns:
        Scalar.
    """
    dims = (1, 2, 3)
    count = valid.sum(dims)
    share = (prob * valid).sum(dims) / count.clamp(min=1e-12)
    area, images = _sums(share, (count > 0).to(share.dtype), over_ranks=over_ranks)
    if reduction == 'mean':
        area = area / images.clamp(min=1)
    if detach:
        area = area.detach()
    floor = 1e-6 if max_weight is None else math.atanh(1 / max_weight)
    return 1 / torch.tanh(area.clamp(min=floor))


def binary_dice(
    logits: Tensor, label: Tensor, threshold: float = 0.5, ignore_index: int = IGNORE_INDEX
) -> Tensor:
    """Dice of the thresholded prediction over the whole batch, for the log; 1 if both are empty.

    Args:
        logits: (N, 1, H, W).
        label: 0, 1 or ``ignore_index``, or soft labels, which are cut at > 0.5; (N, H, W).
        threshold: On the probability. Default 0.5.
        ignore_index: Label that counts nowhere. Default 255.

    Returns:
        Scalar in [0, 1], detached.
    """
    target, valid = binary_target(label, ignore_index)
    target = (target > 0.5).float()
    with torch.no_grad():
        pred = (_full(logits).sigmoid() > threshold) * valid
        total = pred.sum() + (target * valid).sum()
        return torch.where(total > 0, 2 * (pred * target).sum() / total.clamp(min=1e-12), 1.0)
