"""The regrouped outlook aggregation: (2k-1)^2 multiply-adds per value and no k^2-fold copy.

With ``A = softmax(scale * logits)`` over b, and ``delta = o_b - o_a``::

    W[p, delta] = sum over pairs (a, b) with o_b - o_a = delta of A[p - o_a, a, b]
    out[p]      = sum over delta of W[p, delta] * values[p + delta]

W is the sum of k^2 padded maps. Nothing is written in place, and each gradient is made of the same
two functions, :class:`_Outlook` and :class:`_Correlation`: the form can be exported, compiled and
differentiated any number of times, in reverse mode.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_CPU_BLOCK_ELEMENTS = 1 << 18  # of values; with their weights they fit a second-level cache


def _shift(maps: Tensor, y: int, x: int, channels: tuple[int, ...] = ()) -> Tensor:
    """``maps[..., p + (y, x)]`` at p, 0 outside; ``channels`` pads the dimensions before."""
    height, width = maps.shape[-2:]
    if abs(y) >= height or abs(x) >= width:  # nothing is left, and F.pad would refuse
        return F.pad(torch.zeros_like(maps), (0, 0, 0, 0, *channels))
    return F.pad(maps, (-x, x, -y, y, *channels))


def _gather_weights(attn: Tensor, k: int) -> Tensor:
    """Sum the weights of each (a, b) pair by displacement.

    Args:
        attn: (B, k^2 [a], k [b], k [b], H, W).
        k: Kernel size.

    Returns:
        W, (B, (2k-1)^2, H, W).
    """
    total: Tensor | None = None
    for a, rows in enumerate(attn.unbind(1)):  # (B, k, k, H, W)
        i, j = divmod(a, k)
        part = _shift(rows, k // 2 - i, k // 2 - j, (k - 1 - j, j, k - 1 - i, i))
        total = part if total is None else total + part
    assert total is not None
    return total.flatten(1, 2)


def _transpose(weights: Tensor, k: int) -> Tensor:
    """WT[s, -delta] = W[s - delta, delta], with which the gradient of the values is aggregated."""
    m = 2 * k - 1
    opposite = weights.flip(1).unbind(1)  # each (B, H, W)
    shifted = [_shift(x, i // m - k + 1, i % m - k + 1) for i, x in enumerate(opposite)]
    return torch.stack(shifted, 1)


def _neighbours(values: Tensor, k: int) -> list[Tensor]:
    """``values[p + delta]`` at p for every delta, 0 outside; views."""
    height, width = values.shape[-2:]
    m, reach = 2 * k - 1, k - 1
    padded = F.pad(values, (reach, reach, reach, reach))
    return [padded[..., i : i + height, j : j + width] for i in range(m) for j in range(m)]


class _Outlook(torch.autograd.Function):
    """values (B, d, H, W), weights W (B, (2k-1)^2, H, W) -> (B, d, H, W).

    Autograd's own backward of the slices takes four times as long.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(values: Tensor, weights: Tensor, k: int) -> Tensor:
        out = torch.zeros_like(values)
        maps = weights[:, :, None].unbind(1)  # each (B, 1, H, W)
        for weight, value in zip(maps, _neighbours(values, k), strict=True):
            out = torch.addcmul(out, weight, value)
        return out

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:2])
        ctx.k = inputs[2]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        values, weights = ctx.saved_tensors
        k = ctx.k
        to_values = _Outlook.apply(grad, _transpose(weights, k), k)
        return to_values, _Correlation.apply(grad, values, k), None


class _Correlation(torch.autograd.Function):
    """grad, values (B, d, H, W) -> sum over d of grad[p] * values[p + delta], as W."""

    generate_vmap_rule = True

    @staticmethod
    def forward(grad: Tensor, values: Tensor, k: int) -> Tensor:
        return torch.stack([(grad * value).sum(1) for value in _neighbours(values, k)], 1)

    setup_context = staticmethod(_Outlook.setup_context)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor, None]:
        grad, values = ctx.saved_tensors
        k = ctx.k
        to_grad = _Outlook.apply(values, upstream, k)
        return to_grad, _Outlook.apply(grad, _transpose(upstream, k), k), None


def outlook_fast(
    values: Tensor, logits: Tensor, num_heads: int, kernel_size: int, scale: float
) -> Tensor:
    """Aggregate ``values`` in the regrouped form; stride 1, no weight dropout.

    Arguments and result are those of :func:`condseg_mmseg.ops.outlook_aggregate`, already checked.
    Half-precision inputs are accumulated in float32. On a CPU the work is cut into blocks of
    (image, head) pairs that fit its caches; not in a graph, which is one for every size.
    """
    n, c, height, width = values.shape
    k, d = kernel_size, c // num_heads
    dtype = torch.promote_types(values.dtype, torch.float32)
    flat = values.reshape(n * num_heads, d, height, width)
    rows = logits.reshape(n * num_heads, k * k, k * k, height, width)
    tracing = torch.jit.is_tracing()
    blocks = [(flat, rows)]
    if values.is_cpu and not (tracing or torch.compiler.is_compiling()):
        step = max(1, _CPU_BLOCK_ELEMENTS // max(1, d * height * width))
        blocks = list(zip(flat.split(step), rows.split(step), strict=True))
    # TorchScript cannot be saved with calls of Python in it
    aggregate = _Outlook.forward if tracing else _Outlook.apply
    results = []
    for part, row in blocks:
        attn = torch.softmax(scale * row.to(dtype), dim=2).unflatten(2, (k, k))
        results.append(aggregate(part.to(dtype), _gather_weights(attn, k), k))
    return torch.cat(results).reshape(n, c, height, width).to(values.dtype)


def pays(values: Tensor) -> bool:
    """Whether the regrouped form is faster than the literal one, from their times on one CPU core.

    It runs more and shorter steps, which cost the same for one pixel as for a hundred. Forward and
    backward together break even near 150 pixels (all images counted) at k = 1, 90 at k = 3, 110 at
    k = 5 and 90 at k = 7. The rule is used on accelerators too, where nobody has measured it yet.

    Args:
        values: (N, C, H, W).
    """
    n, _, height, width = values.shape
    return n * height * width >= 128
