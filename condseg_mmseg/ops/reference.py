"""The literal outlook aggregation: unfold, matmul, fold. Written to be read, never optimised."""

import torch
import torch.nn.functional as F
from torch import Tensor


def outlook_reference(
    values: Tensor,
    logits: Tensor,
    num_heads: int,
    kernel_size: int,
    stride: int,
    scale: float,
    attn_drop: float = 0.0,
    training: bool = False,
) -> Tensor:
    """Aggregate ``values`` window by window, copying them k^2 times.

    Arguments and result are those of :func:`condseg_mmseg.ops.outlook_aggregate`, already checked.
    """
    n, c, height, width = values.shape
    k2 = kernel_size * kernel_size
    rows, cols = logits.shape[-2:]
    geometry = {'kernel_size': kernel_size, 'padding': kernel_size // 2, 'stride': stride}
    windows = F.unfold(values, **geometry)  # (N, C * k2, rows * cols)
    windows = windows.reshape(n, num_heads, c // num_heads, k2, rows * cols)
    windows = windows.permute(0, 1, 4, 3, 2)  # (N, heads, rows * cols, k2 [b], d)
    attn = logits.reshape(n, num_heads, k2, k2, rows * cols)  # (N, heads, a, b, rows * cols)
    attn = attn.permute(0, 1, 4, 2, 3)  # (N, heads, rows * cols, a, b)
    attn = torch.softmax(scale * attn, dim=-1)
    attn = F.dropout(attn, attn_drop, training)
    mixed = attn.to(windows.dtype) @ windows  # (N, heads, rows * cols, k2 [a], d)
    mixed = mixed.permute(0, 1, 4, 3, 2).reshape(n, c * k2, rows * cols)
    return F.fold(mixed, output_size=(height, width), **geometry)
