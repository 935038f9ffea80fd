"""Public op: checks shapes, chooses a backend."""

import torch
from torch import Tensor

from .fast import outlook_fast, pays
from .library import unavailable
from .native import DTYPES, outlook_native
from .reference import outlook_reference

BACKENDS = ('auto', 'reference', 'fast', 'native')


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


def can_run(
    backend: str,
    values: Tensor,
    logits: Tensor,
    stride: int = 1,
    attn_drop: float = 0.0,
    training: bool = False,
) -> str | None:
    """Return None where a backend computes this case, else one sentence that says why not.

    Args:
        backend: 'reference' or 'auto', which compute every case, 'fast' or 'native'.
        values: (N, C, H, W).
        logits: (N, num_heads * k^4, ceil(H / stride), ceil(W / stride)).
        stride: Step between window centres in pixels. Default 1.
        attn_drop: Dropout probability of the weights. Default 0.
        training: Whether that dropout is active. Default False.

    Raises:
        ValueError: There is no such backend.
    """
    if backend not in BACKENDS:
        raise ValueError(f'backend must be one of {BACKENDS}, got {backend!r}')
    if backend in ('reference', 'auto'):
        return None
    if stride != 1:
        return f'the regrouped form needs stride=1, got stride={stride}'
    if training and attn_drop > 0:
        return f'the regrouped form has no weight dropout, got attn_drop={attn_drop} in training'
    if backend == 'fast':
        return None
    for tensor in (values, logits):
        if tensor.device.type != 'cpu':
            return f'the native form runs on CPUs, got a tensor on {tensor.device}'
        if tensor.dtype not in DTYPES:
            return f'the native form takes float32, bfloat16 and float16, got {tensor.dtype}'
    return unavailable()


def _exporting() -> bool:
    """Whether a graph is recorded to be run elsewhere, where our library is not."""
    compiler = getattr(torch.compiler, 'is_exporting', None)  # torch 2.7 and newer
    return torch.jit.is_tracing() or torch.onnx.is_in_onnx_export() or bool(compiler and compiler())


def _choose(values: Tensor, logits: Tensor, stride: int, attn_drop: float, training: bool) -> str:
    """The backend of 'auto': the first of native, fast, reference that can run and pays."""
    if can_run('fast', values, logits, stride, attn_drop, training):
        return 'reference'
    if _exporting():
        return 'fast'
    if can_run('native', values, logits, stride, attn_drop, training) is None:
        return 'native'
    return 'fast' if pays(values) else 'reference'


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
        backend: 'reference' (literal unfold, matmul, fold), 'fast' (regrouped, in PyTorch; stride
            1, no weight dropout), 'native' (the same in C; CPU, float32 or half precision, first
            derivatives only) or
            'auto': native where it can run, else fast where it can run and the map is large enough
            to pay, else reference. A graph that is exported or traced holds no call of our library:
            there 'auto' never takes native. Default 'auto'.

    Returns:
        Mixed values, (N, C, H, W), in the dtype of ``values``.

    Raises:
        ValueError: A shape, number or backend name that does not fit, or a backend asked for by
            name in a case it does not compute.
    """
    _check(values, logits, num_heads, kernel_size, stride, attn_drop)
    if scale is None:
        scale = (values.shape[1] // num_heads) ** -0.5
    case = (stride, attn_drop, training)
    if backend == 'auto':
        backend = _choose(values, logits, *case)
    elif reason := can_run(backend, values, logits, *case):
        raise ValueError(f"backend='{backend}' cannot run here: {reason}; use 'auto'")
    if backend == 'native':
        return outlook_native(values, logits, num_heads, kernel_size, scale)
    if backend == 'fast':
        return outlook_fast(values, logits, num_heads, kernel_size, scale)
    return outlook_reference(
        values, logits, num_heads, kernel_size, stride, scale, attn_drop, training
    )
