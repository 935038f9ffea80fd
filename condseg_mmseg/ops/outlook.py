"""Public op: checks shapes, chooses a backend."""

from torch import Tensor

from .fast import can_run, outlook_fast
from .reference import outlook_reference

BACKENDS = ('auto', 'reference', 'fast')


def _check(
    values: Tensor, logits: Tensor, num_heads: int, kernel_size: int, stride: int, attn_drop: float
) -> None:
    if values.dim() != 4 or logits.dim() != 4:
        raise ValueError(
            'values and logits must be 4-D (N, C, H, W), got shapes '
            f'{tuple(values.shape)} and {tuple(logits.shape)}'
        )
    n, c, height, width = values.shape
    if num_heads < 1 or c % num_heads:
        raise ValueError(f'num_heads must divide the {c} channels of values, got {num_heads}')
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ValueError(f'kernel_size must be odd and >= 1, got {kernel_size}')
    if stride < 1:
        raise ValueError(f'stride must be >= 1, got {stride}')
    if not 0.0 <= attn_drop < 1.0:
        raise ValueError(f'attn_drop must be in [0, 1), got {attn_drop}')
    expected = (n, num_heads * kernel_size**4, -(-height // stride), -(-width // stride))
    if tuple(logits.shape) != expected:
        raise ValueError(
            f'logits must have shape {expected} = (N, num_heads * kernel_size^4, ceil(H / stride), '
            f'ceil(W / stride)) for values of shape {tuple(values.shape)}, '
            f'got {tuple(logits.shape)}'
        )


def outlook_aggregate(
    values: Tensor,
    logits: Tensor,
    num_heads: int,
    kernel_size: int,
    stride: int = 1,
    scale: float | None = None,
    attn_drop: float = 0.0,
    training: bool = False,
    backend: str = 'auto',
) -> Tensor:
    """Mix each k x k window of values by its own k^2 x k^2 weights and add the windows up again.

    For a window centre q and a head, ``A[q] = softmax_b(scale * logits[q])``; row a of it mixes the
    k^2 values around q (zero outside the image), and the result is added to position q + o_a::

        out[p] = sum over a with q = p - o_a inside the image of sum_b A[q, a, b] * values[q + o_b]

    This is the outlook attention of VOLO (arXiv 2106.13112), which ConDSeg's CDFA (arXiv
    2412.08345, section "Contrast-Driven Feature Aggregation") applies to foreground and background.

    Args:
        values: What is mixed, (N, C, H, W); heads are consecutive groups of C / num_heads channels.
        logits: Weights before the softmax, (N, num_heads * k^4, ceil(H / stride),
            ceil(W / stride)), channels ordered (head, a, b).
        num_heads: Number of heads; divides C.
        kernel_size: Window size k in pixels, odd. Padding is k // 2.
        stride: Step between window centres in pixels. Default 1.
        scale: Factor on the logits. Default None, which is ``(C / num_heads) ** -0.5``.
        attn_drop: Dropout probability of the weights after the softmax. Default 0.
        training: Whether that dropout is active. Default False.
        backend: 'reference' (literal unfold, matmul, fold), 'fast' (regrouped, stride 1, no weight
            dropout) or 'auto' (fast where it can run). Default 'auto'.

    Returns:
        Mixed values, (N, C, H, W), in the dtype of ``values``.

    Raises:
        ValueError: A shape, number or backend name that does not fit, or ``backend='fast'`` for a
            case that only the reference computes.
    """
    _check(values, logits, num_heads, kernel_size, stride, attn_drop)
    if backend not in BACKENDS:
        raise ValueError(f'backend must be one of {BACKENDS}, got {backend!r}')
    if scale is None:
        scale = (values.shape[1] // num_heads) ** -0.5
    reason = can_run(stride, attn_drop, training)
    if backend == 'fast' and reason:
        raise ValueError(f"backend='fast' cannot run here: {reason}; use 'auto' or 'reference'")
    if backend == 'reference' or reason:
        return outlook_reference(
            values, logits, num_heads, kernel_size, stride, scale, attn_drop, training
        )
    return outlook_fast(values, logits, num_heads, kernel_size, scale)
