"""The regrouped outlook aggregation: (2k-1)^2 multiply-adds per value and no k^2-fold copy.

With ``A = softmax(scale * logits)`` over b, and ``delta = o_b - o_a``::

    W[p, delta] = sum over pairs (a, b) with o_b - o_a = delta of A[p - o_a, a, b]
    out[p]      = sum over delta of W[p, delta] * values[p + delta]

W is gathered from k^2 shifted slices of A. The backward recomputes W from the softmax output, so
that and the values are all that is kept. Work is cut into blocks of (image, head) pairs that fit a
CPU's second-level cache; on an accelerator one block holds everything.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_CPU_BLOCK_ELEMENTS = 1 << 19


def _span(offset: int, size: int) -> tuple[slice, slice]:
    """Slices (at, from) such that ``x[at] <- y[from]`` reads ``y[i + offset]`` inside ``size``."""
    low, high = max(0, -offset), max(min(size, size - offset), 0)
    low = min(low, high)
    return slice(low, high), slice(low + offset, high + offset)


def _shifts(reach: int, height: int, width: int) -> Iterator[tuple[int, int, tuple, tuple]]:
    """Every 2-D offset up to ``reach`` that leaves something inside the map.

    Yields:
        Row and column of the offset, counted from 0, and the index pairs of :func:`_span`.
    """
    for i in range(2 * reach + 1):
        for j in range(2 * reach + 1):
            y_at, y_from = _span(i - reach, height)
            x_at, x_from = _span(j - reach, width)
            if y_at.start < y_at.stop and x_at.start < x_at.stop:
                yield i, j, (..., y_at, x_at), (..., y_from, x_from)


def _gather_weights(attn: Tensor, k: int) -> Tensor:
    """Sum the weights of each (a, b) pair by displacement.

    Args:
        attn: (B, k [a], k [a], k [b], k [b], H, W).
        k: Kernel size.

    Returns:
        W, (B, 2k-1, 2k-1, H, W).
    """
    height, width = attn.shape[-2:]
    out = attn.new_zeros((attn.shape[0], 2 * k - 1, 2 * k - 1, height, width))
    for i, j, at, origin in _shifts(k // 2, height, width):
        # the shift by -o_a reads A at p - o_a, so the row of a counts down as the shift counts up
        a_row, a_col = k - 1 - i, k - 1 - j
        block = out[:, i : i + k, j : j + k]
        block[at] += attn[:, a_row, a_col][origin]
    return out


def _scatter_weights(grad_weights: Tensor, k: int) -> Tensor:
    """Transpose of :func:`_gather_weights`: (B, 2k-1, 2k-1, H, W) -> (B, k, k, k, k, H, W)."""
    height, width = grad_weights.shape[-2:]
    out = grad_weights.new_zeros((grad_weights.shape[0], k, k, k, k, height, width))
    for i, j, at, origin in _shifts(k // 2, height, width):
        block = grad_weights[:, i : i + k, j : j + k]
        out[:, k - 1 - i, k - 1 - j][origin] = block[at]
    return out


def _blocks(total: int, elements: int, device: torch.device) -> Iterator[slice]:
    step = _CPU_BLOCK_ELEMENTS // max(1, elements) if device.type == 'cpu' else total
    step = max(1, step)
    for start in range(0, total, step):
        yield slice(start, min(start + step, total))


class _Outlook(torch.autograd.Function):
    """values (B, d, H, W), attn = softmax output (B, k, k, k, k, H, W) -> (B, d, H, W)."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, attn: Tensor, k: int) -> Tensor:
        ctx.save_for_backward(values, attn)
        ctx.k = k
        out = torch.zeros_like(values)
        for part in _blocks(values.shape[0], values.shape[1:].numel(), values.device):
            weights = _gather_weights(attn[part], k)
            block, source = out[part], values[part]
            for i, j, at, origin in _shifts(k - 1, *values.shape[-2:]):
                block[at].addcmul_(weights[:, None, i, j][at], source[origin])
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        values, attn = ctx.saved_tensors
        k = ctx.k
        grad = grad.contiguous()
        grad_values, grad_attn = torch.zeros_like(values), torch.empty_like(attn)
        for part in _blocks(values.shape[0], values.shape[1:].numel(), values.device):
            weights = _gather_weights(attn[part], k)
            grad_weights = torch.zeros_like(weights)
            upstream, source, block = grad[part], values[part], grad_values[part]
            for i, j, at, origin in _shifts(k - 1, *values.shape[-2:]):
                block[origin].addcmul_(weights[:, None, i, j][at], upstream[at])
                grad_weights[:, i, j][at] = (upstream[at] * source[origin]).sum(1)
            grad_attn[part] = _scatter_weights(grad_weights, k)
        return grad_values, grad_attn, None


def outlook_fast(
    values: Tensor, logits: Tensor, num_heads: int, kernel_size: int, scale: float
) -> Tensor:
    """Aggregate ``values`` in the regrouped form; stride 1, no weight dropout.

    Arguments and result are those of :func:`condseg_mmseg.ops.outlook_aggregate`, already checked.
    Half-precision inputs are accumulated in float32. A second derivative is refused by autograd.
    """
    n, c, height, width = values.shape
    k = kernel_size
    dtype = torch.promote_types(values.dtype, torch.float32)
    attn = logits.reshape(n * num_heads, k * k, k * k, height, width).to(dtype)
    attn = torch.softmax(scale * attn, dim=2).reshape(n * num_heads, k, k, k, k, height, width)
    flat = values.reshape(n * num_heads, c // num_heads, height, width).to(dtype)
    out = _Outlook.apply(flat, attn, k)
    return out.reshape(n, c, height, width).to(values.dtype)


def pays(values: Tensor, kernel_size: int) -> bool:
    """Whether the regrouped form is faster than the literal one, from their times on one CPU core.

    It runs more and shorter steps, which cost the same for one pixel as for a hundred. Forward and
    backward together break even near 60 pixels (all images counted) at k = 1, 100 at k = 3 and 250
    at k = 5. The rule is used on accelerators too, where nobody has measured it yet.

    Args:
        values: (N, C, H, W).
        kernel_size: Window size k.
    """
    n, _, height, width = values.shape
    return n * height * width >= max(80, 16 * kernel_size**2)
