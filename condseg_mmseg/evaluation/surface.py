"""Distances between outlines, through MONAI (extra ``metrics``)."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterator

import numpy as np
import torch


@contextlib.contextmanager
def _without_monais_notice() -> Iterator[None]:
    """Keep back what MONAI 1.5 and 1.6 say of an argument that only their own code passes."""
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', r'monai\.metrics\.utils get_mask_edges', FutureWarning)
        yield


def _batch(mask: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.array(mask, dtype=bool))[None, None]  # (N, C, H, W)


def _empty(pred: np.ndarray, target: np.ndarray) -> tuple[bool, bool]:
    if pred.shape != target.shape or pred.ndim != 2:
        raise ValueError(
            f'pred and target must have the same shape (H, W), got {pred.shape} and {target.shape}'
        )
    return not pred.any(), not target.any()


def hausdorff_95(pred: np.ndarray, target: np.ndarray) -> float:
    """Compute the 95th percentile of the Hausdorff distance (HD95).

    The outline of a mask is its pixels with a 4-neighbour off the mask or beyond the image. From
    every pixel of one outline the Euclidean distance to the nearest pixel of the other is taken;
    HD95 is the greater of the 95th percentiles of the two directions.

    Args:
        pred: Predicted foreground, shape (H, W), bool.
        target: True foreground, shape (H, W), bool.

    Returns:
        float: In pixels, 0 (same outline) or greater; 0 where both masks are empty, NaN where
        one of them is, as there is no distance then.
    """
    no_pred, no_target = _empty(pred, target)
    if no_pred or no_target:
        return 0.0 if no_pred and no_target else math.nan
    from monai.metrics import compute_hausdorff_distance

    with _without_monais_notice():
        distance = compute_hausdorff_distance(
            _batch(pred), _batch(target), include_background=True, percentile=95
        )
    return float(distance)


def surface_dice(pred: np.ndarray, target: np.ndarray, tolerance: float = 2.0) -> float:
    """Compute the share of both outlines that lies near the other (normalised surface Dice).

    Nikolov et al., *Deep learning to achieve clinically applicable segmentation of head and neck
    anatomy for radiotherapy*, 2018; outlines are counted in pixels, as in :func:`hausdorff_95`.

    Args:
        pred: Predicted foreground, shape (H, W), bool.
        target: True foreground, shape (H, W), bool.
        tolerance: Greatest distance, in pixels, that still counts as near. Default 2.

    Returns:
        float: 0 to 1; 1 where both masks are empty, 0 where one of them is.
    """
    no_pred, no_target = _empty(pred, target)
    if no_pred or no_target:
        return float(no_pred and no_target)
    from monai.metrics import compute_surface_dice

    with _without_monais_notice():
        score = compute_surface_dice(
            _batch(pred), _batch(target), class_thresholds=[tolerance], include_background=True
        )
    return float(score)
