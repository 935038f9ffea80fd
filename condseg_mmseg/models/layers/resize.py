"""The one way this package resizes feature maps."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor


def resize_to(x: Tensor, size: Sequence[int], align_corners: bool = True) -> Tensor:
    """Resize ``x`` (N, C, h, w) bilinearly to ``size`` (H, W); the same tensor if it has that size.

    Args:
        x: Map, (N, C, h, w).
        size: Height and width of the result in pixels.
        align_corners: Whether corner pixels keep their values. Default True (released code).

    Returns:
        (N, C, H, W).
    """
    size = tuple(size)
    if tuple(x.shape[-2:]) == size:
        return x
    return F.interpolate(x, size=size, mode='bilinear', align_corners=align_corners)
