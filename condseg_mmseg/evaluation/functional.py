"""Scores of single images, from counts: pure functions of NumPy arrays and tensors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

SCORES = ('iou', 'dice', 'recall', 'precision', 'f2', 'accuracy')
"""Names of the scores, in the order in which they are reported."""

COUNTS = ('tp', 'fp', 'fn', 'tn')
"""Names of the counts that the scores are computed from, in their order."""

EMPTY_POLICIES = ('strict', 'official', 'skip')

_EPS = 1e-15


def confusion_counts(
    pred: torch.Tensor | np.ndarray,
    target: torch.Tensor | np.ndarray,
    foreground: Sequence[int] = (1,),
    ignore_index: int = 255,
) -> np.ndarray:
    """Count true and false pixels of each image.

    Args:
        pred: Predicted labels, shape (..., H, W).
        target: True labels, the same shape.
        foreground: Labels that together are the foreground; all others are background.
            Default ``(1,)``.
        ignore_index: Pixels with this true label are left out. Default 255.

    Returns:
        np.ndarray: int64, shape (..., 4): true positive, false positive, false negative and true
        negative pixels.

    Raises:
        ValueError: If the shapes differ.
    """
    pred, target = torch.as_tensor(pred), torch.as_tensor(target)
    if pred.shape != target.shape or pred.dim() < 2:
        raise ValueError(
            'pred and target must have the same shape (..., H, W), got '
            f'{tuple(pred.shape)} and {tuple(target.shape)}'
        )
    target = target.to(pred.device)
    valid = target != ignore_index
    positive, true = torch.zeros_like(valid), torch.zeros_like(valid)
    for label in foreground:
        positive |= pred == label
        true |= target == label
    parts = (positive & true, positive & ~true, ~positive & true, ~positive & ~true)
    counts = torch.stack([(part & valid).sum(dim=(-2, -1)) for part in parts], dim=-1)
    return counts.cpu().numpy()


def scores_from_counts(counts: np.ndarray, empty_policy: str = 'strict') -> dict[str, np.ndarray]:
    """Compute the scores of each image.

    IoU = tp / (tp + fp + fn), Dice = 2 tp / (2 tp + fp + fn), recall r = tp / (tp + fn),
    precision p = tp / (tp + fp), F2 = 5 p r / (4 p + r) = 5 tp / (5 tp + 4 fn + fp), accuracy =
    (tp + tn) / all. Some are 0 / 0 where the truth, the prediction or both are empty:

    ============  ==========================  ================================================
    policy        truth and prediction empty  one of them empty
    ============  ==========================  ================================================
    ``strict``    every score is 1            IoU, Dice, recall, precision and F2 are 0
    ``official``  every score is 1            as in the released code, 1e-15 above and below
                                              every ratio: recall is 1 for an empty truth,
                                              precision is 1 for an empty prediction
    ``skip``      NaN, except accuracy        recall (empty truth) or precision (empty
                                              prediction) is NaN, the others are 0
    ============  ==========================  ================================================

    An image without any valid pixel has NaN scores under ``strict`` and ``skip``.

    Args:
        counts: Shape (..., 4): tp, fp, fn, tn.
        empty_policy: One of :data:`EMPTY_POLICIES`. Default ``'strict'``.

    Returns:
        dict[str, np.ndarray]: One float64 array of shape (...) in 0..1 per name of
        :data:`SCORES`.

    Raises:
        ValueError: If the policy is unknown or the last dimension is not 4.
    """
    if empty_policy not in EMPTY_POLICIES:
        raise ValueError(f'empty_policy must be one of {EMPTY_POLICIES}, got {empty_policy!r}')
    counts = np.asarray(counts)
    if counts.ndim < 1 or counts.shape[-1] != 4:
        raise ValueError(f'counts must have shape (..., 4), got {counts.shape}')
    tp, fp, fn, tn = np.moveaxis(counts.astype(np.float64), -1, 0)
    ratios = dict(
        iou=(tp, tp + fp + fn),
        dice=(2 * tp, 2 * tp + fp + fn),
        recall=(tp, tp + fn),
        precision=(tp, tp + fp),
        f2=(5 * tp, 5 * tp + 4 * fn + fp),
        accuracy=(tp + tn, tp + fp + fn + tn),
    )
    if empty_policy == 'official':
        scores = {name: (a + _EPS) / (b + _EPS) for name, (a, b) in ratios.items()}
        r, p = scores['recall'], scores['precision']
        scores['f2'] = 5 * p * r / (4 * p + r + _EPS)
        return scores
    with np.errstate(divide='ignore', invalid='ignore'):
        scores = {name: np.divide(a, b) for name, (a, b) in ratios.items()}  # 0 / 0 is NaN
    if empty_policy == 'strict':
        both_empty = tp + fp + fn == 0
        some_valid = tp + fp + fn + tn > 0
        for name, score in scores.items():
            score = np.where(np.isnan(score), np.where(both_empty, 1.0, 0.0), score)
            scores[name] = np.where(some_valid, score, np.nan)
    return scores


def mean_scores(scores: dict[str, np.ndarray]) -> dict[str, float]:
    """Average every score over the images for which it is defined.

    Args:
        scores: Arrays of shape (N,), NaN where undefined.

    Returns:
        dict[str, float]: The means; NaN where no image has the score.
    """
    means = {}
    for name, values in scores.items():
        defined = values[~np.isnan(values)]
        means[name] = float(defined.mean()) if defined.size else float('nan')
    return means
