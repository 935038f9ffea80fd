"""What labels may be, and which of them are the foreground (torch only)."""

from collections.abc import Sequence

import torch
from torch import Tensor

IGNORE_INDEX = 255


def check_labels(
    label: Tensor, num_classes: int, ignore_index: int = IGNORE_INDEX, logit_maps: int = 1
) -> None:
    """Refuse labels that are neither a class nor soft (floating, in [0, 1]) nor ignored.

    Args:
        label: Class indices or, for two classes, shares of foreground; any shape.
        num_classes: Classes with the background.
        ignore_index: Label that counts nowhere. Default 255.
        logit_maps: Channels of the logits, of which soft labels need one. Default 1.

    Raises:
        ValueError: Naming the values found.
    """
    if label.is_floating_point() and (num_classes, logit_maps) != (2, 1):
        raise ValueError(
            f'soft labels ({label.dtype}) need two classes and one logit map, got num_classes='
            f'{num_classes} and {logit_maps} map(s): set out_channels=1, or use LoadBinaryMask and '
            'PackSegInputs in place of LoadSoftMask and PackSoftSegInputs'
        )
    if torch.compiler.is_compiling():
        return
    if label.is_floating_point():
        wrong = ~((label >= 0) & (label <= 1) | (label == ignore_index))
        if bool(wrong.any()):
            values = torch.unique(label[wrong]).tolist()
            raise ValueError(
                f'soft labels must lie in [0, 1] or be {ignore_index} (ignored), got also '
                f'{values[:10]}: read masks by LoadSoftMask in the pipeline'
            )
        return
    wrong = ((label < 0) | (label >= num_classes)) & (label != ignore_index)
    if bool(wrong.any()):
        values = torch.unique(label[wrong]).tolist()
        raise ValueError(
            f'labels must be 0..{num_classes - 1} or {ignore_index} (ignored), got also '
            f'{values[:10]}: read masks by LoadBinaryMask in the pipeline, or set '
            'num_classes of every head to the classes of the data set'
        )


def foreground_labels(
    label: Tensor, classes: Sequence[int], ignore_index: int = IGNORE_INDEX
) -> Tensor:
    """Map labels to 1 (a class of ``classes``), 0 (another) or ``ignore_index`` (kept).

    Args:
        label: Class indices, or soft labels (floating), which stay as they are; (N, H, W).
        classes: Indices whose union is the foreground; for soft labels class 1.
        ignore_index: Label that counts nowhere. Default 255.

    Returns:
        (N, H, W), dtype of ``label``.

    Raises:
        ValueError: For soft labels with another foreground than class 1.
    """
    if label.is_floating_point():
        if tuple(classes) != (1,):
            raise ValueError(f'the foreground of soft labels is class 1, got {tuple(classes)}')
        return label
    union = torch.zeros_like(label, dtype=torch.bool)
    for index in classes:
        union |= label == index
    return torch.where(label == ignore_index, label, union.to(label.dtype))
