"""What a sample must be before :class:`PerImageBinaryMetric` scores it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ..utils.errors import UserError

PROTOCOLS = ('input_size', 'original')


def foreground_probability(
    path: str, seg_logits: torch.Tensor, foreground: Sequence[int]
) -> torch.Tensor:
    """Compute the probability of the foreground.

    Args:
        path: Of the image, for errors.
        seg_logits: (C, H, W): for one channel probabilities already, as mmseg stores them.
        foreground: Labels that together are the foreground.

    Returns:
        float64 on the CPU, shape (H, W).

    Raises:
        UserError: For one channel with values outside 0..1, or a label without a channel.
    """
    scores = seg_logits.detach().cpu().double()
    if len(scores) == 1:
        low, high = scores.min().item(), scores.max().item()
        if not (low >= 0 and high <= 1):
            raise UserError(
                f'{path}: seg_logits of one channel must hold probabilities in 0..1, as mmseg '
                f'stores them, got values from {low:g} to {high:g}'
            )
        scores = torch.cat([1 - scores, scores])
    else:
        scores = scores.softmax(dim=0)
    if max(foreground) >= len(scores) or min(foreground) < 0:
        raise UserError(
            f'{path}: seg_logits have {len(scores)} classes, foreground={foreground} names others'
        )
    # Adding up rounds to slightly more than 1.
    return scores[list(foreground)].sum(dim=0).clamp(max=1)


def checked_labels(sample: dict, protocol: str) -> tuple[str, torch.Tensor, torch.Tensor]:
    """Take the image's path and both label maps from a sample.

    Args:
        sample: Dict with ``img_path``, what :func:`check_protocol` reads, and the label maps
            ``pred_sem_seg`` and ``gt_sem_seg``, their ``data`` of shape (1, H, W).
        protocol: One of :data:`PROTOCOLS`.

    Returns:
        Path, predicted labels and true labels, both (H, W).

    Raises:
        UserError: It has no path or no mask, is compared at another size than the protocol says,
            or the maps differ in size.
    """
    path = sample.get('img_path')
    if not path:
        raise UserError(
            'a sample has no img_path, by which images are counted once; keep it in the meta_keys '
            'of PackSegInputs'
        )
    if 'gt_sem_seg' not in sample:
        raise UserError(f'{path}: the sample has no mask to score against')
    check_protocol(path, sample, protocol)
    pred, target = (sample[key]['data'].squeeze(0) for key in ('pred_sem_seg', 'gt_sem_seg'))
    if pred.shape != target.shape:
        raise UserError(
            f'{path}: the prediction has shape {tuple(pred.shape)}, the mask '
            f'{tuple(target.shape)}. The order of a test pipeline is LoadImageFromFile, '
            'ResizeWithMask, LoadBinaryMask and, to score at the input size, ScoreAtInputSize'
        )
    return path, pred, target


def check_protocol(path: str, sample: dict, protocol: str) -> None:
    """Refuse a sample that is not compared at the size of the protocol.

    Args:
        path: Of the image, for errors.
        sample: With ``ori_shape``, ``img_shape`` and, if it was resized, ``scale_factor``.
        protocol: One of :data:`PROTOCOLS`.

    Raises:
        UserError: It is compared at the other size.
    """
    original = tuple(sample['ori_shape'][:2])
    network = tuple(sample['img_shape'][:2])
    if protocol == 'input_size':
        if original != network:
            raise UserError(
                f"{path}: protocol='input_size', but the prediction goes back to "
                f'{original} from {network} (height, width). Add ScoreAtInputSize to the '
                "test pipeline, or declare protocol='original'"
            )
        return
    # An image that happens to have the input size has the scale factor 1.
    scale = sample.get('scale_factor')
    if original == network and scale is not None and not np.allclose(scale, 1.0, atol=1e-6):
        raise UserError(
            f"{path}: protocol='original', but the sample is compared at {network} (height, "
            f'width) after a resize by {scale}. Remove ScoreAtInputSize from the test '
            "pipeline, or declare protocol='input_size'"
        )


def check_truth(path: str, target: torch.Tensor, num_classes: int, ignore_index: int) -> None:
    """Refuse a mask with labels that are neither a class nor ignored.

    Args:
        path: Of the image, for errors.
        target: Labels, any shape.
        num_classes: Classes with the background.
        ignore_index: True label that is left out.

    Raises:
        UserError: Naming the labels found.
    """
    wrong = (target != ignore_index) & ((target < 0) | (target >= num_classes))
    if wrong.any():
        values = torch.unique(target[wrong])[:10].tolist()
        raise UserError(
            f'{path}: its mask has the labels {values} beside 0..{num_classes - 1} and '
            f'{ignore_index} (ignored); is LoadBinaryMask missing in the test pipeline?'
        )
