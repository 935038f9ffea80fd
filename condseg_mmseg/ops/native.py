"""The outlook aggregation in C (``csrc/outlook.c``) as an operator of PyTorch, for CPUs.

One pass over values and logits: the softmax, W and the multiply-adds of :mod:`.fast` are computed
row by row in registers and the caches, and the backward recomputes the softmax. Values and logits
are all that is kept for it.
"""

import ctypes
import functools
import logging
import os
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .build import BuildError, library

SWITCH_VARIABLE = 'CONDSEG_MMSEG_NATIVE'
DTYPES = (torch.float32, torch.bfloat16, torch.float16)
_TYPES = {torch.float32: 0, torch.bfloat16: 1}  # what csrc reads and writes, by its numbers
_WORK_PER_THREAD = 1 << 21  # multiply-adds, about 0.1 ms: below that a thread costs what it saves


def _declare(lib: ctypes.CDLL) -> ctypes.CDLL:
    pointers: list[Any] = [ctypes.c_void_p] * 5
    sizes: list[Any] = [*[ctypes.c_long] * 4, ctypes.c_int, ctypes.c_float, *[ctypes.c_int] * 2]
    lib.condseg_outlook_forward.argtypes = pointers[:3] + sizes
    lib.condseg_outlook_backward.argtypes = pointers + sizes
    return lib


def _literal(values: np.ndarray, logits: np.ndarray, k: int) -> np.ndarray:
    """The definition with loops over a, b and q; values (d, H, W), logits (k^2, k^2, H, W)."""
    attn = np.exp(logits)
    attn /= attn.sum(1, keepdims=True)
    r, (_, height, width) = k // 2, values.shape
    padded = np.pad(values, ((0, 0), (r, r), (r, r)))
    out = np.zeros_like(padded)
    for ay, ax, by, bx in np.ndindex(k, k, k, k):
        source = padded[:, by : by + height, bx : bx + width]
        weight = attn[ay * k + ax, by * k + bx]
        out[:, ay : ay + height, ax : ax + width] += weight * source
    return out[:, r : r + height, r : r + width]


def _self_test(lib: ctypes.CDLL) -> bool:
    """Whether a tiny case comes out right. NumPy, as PyTorch may be tracing or on another device.

    The forward equals the definition, both gradients its directional derivatives.
    """
    rng, k, (d, height, width) = np.random.default_rng(0), 3, (5, 5, 19)
    values, grad, move = rng.normal(size=(3, d, height, width))
    logits, turn = rng.normal(size=(2, k * k, k * k, height, width))
    given = [x.astype(np.float32) for x in (grad, values, logits)]

    def run(number: int, given: list[np.ndarray]) -> list[np.ndarray]:
        out, grad_values, grad_logits = (np.full_like(x, 99) for x in (given[1], *given[1:]))
        sizes = (1, d, height, width, k, 1.0, 1, number)
        address = [x.ctypes.data for x in (*given, grad_values, grad_logits)]
        lib.condseg_outlook_forward(*address[1:3], out.ctypes.data, *sizes)
        lib.condseg_outlook_backward(*address, *sizes)
        return [out, grad_values, grad_logits]

    out, grad_values, grad_logits = run(0, given)
    step = 1e-5
    slope = _literal(values, logits + step * turn, k) - _literal(values, logits - step * turn, k)
    if not (
        np.allclose(out, _literal(values, logits, k), atol=1e-4)
        and np.isclose((grad_values * move).sum(), (grad * _literal(move, logits, k)).sum(), 1e-3)
        and np.isclose((grad_logits * turn).sum(), (grad * slope).sum() / (2 * step), 1e-3)
    ):
        return False
    # bfloat16 is the upper half of float32; NumPy has no such type
    halves = [(x.view(np.uint32) >> 16).astype(np.uint16) for x in given]
    low, same = (
        run(number, inputs)
        for number, inputs in (
            (1, halves),
            (0, [(x.astype(np.uint32) << 16).view(np.float32) for x in halves]),
        )
    )
    return all(
        np.allclose((a.astype(np.uint32) << 16).view(np.float32), b, rtol=2**-7, atol=1e-6)
        for a, b in zip(low, same, strict=True)
    )


@functools.cache
def _load() -> ctypes.CDLL | str:
    """The library, or one sentence that says why there is none; decided once per process."""
    if os.environ.get(SWITCH_VARIABLE, '1') == '0':
        return f'it is switched off by {SWITCH_VARIABLE}=0'
    try:
        path = library()
        lib = _declare(ctypes.CDLL(str(path)))
        reason = None if _self_test(lib) else f'{path} fails its self-test'
    except (BuildError, OSError, AttributeError) as error:
        reason = str(error)
    if reason is None:
        return lib
    logging.getLogger('condseg_mmseg').info(
        'the outlook aggregation runs in PyTorch, not in C: %s', reason
    )
    return reason


def unavailable() -> str | None:
    """Return None where the library is there (built at the first call), else why it is not."""
    lib = _load()
    return lib if isinstance(lib, str) else None


# What torch.compiler.assume_constant_result sets, which would import the whole compiler here
# (2 s): a graph being compiled takes the answer as it is and does not look inside.
unavailable._dynamo_marked_constant = True  # type: ignore[attr-defined]


def _call(name: str, tensors: tuple[Tensor, ...], num_heads: int, k: int, scale: float) -> None:
    """Run a function of the library on contiguous tensors of one dtype, first one like values."""
    lib = _load()
    if isinstance(lib, str):
        raise RuntimeError(f'the native outlook aggregation is not there: {lib}')
    values = tensors[0]
    n, c, height, width = values.shape
    if values.numel() == 0:
        return
    work = values.numel() * (2 * k - 1) ** 2
    threads = max(1, min(torch.get_num_threads(), work // _WORK_PER_THREAD))
    pointers = [tensor.data_ptr() for tensor in tensors]
    sizes = (n * num_heads, c // num_heads, height, width, k, scale, threads)
    if getattr(lib, name)(*pointers, *sizes, _TYPES[values.dtype]):
        raise MemoryError('no memory for the row buffers of the outlook aggregation')


def _plain(*tensors: Tensor) -> list[Tensor]:
    """Contiguous tensors of one dtype that the library reads: as given, or in float32."""
    dtype = tensors[0].dtype
    if dtype not in _TYPES or any(tensor.dtype != dtype for tensor in tensors):
        tensors = tuple(tensor.to(torch.float32) for tensor in tensors)
    return [tensor.contiguous() for tensor in tensors]


def _forward(
    values: Tensor, logits: Tensor, num_heads: int, kernel_size: int, scale: float
) -> Tensor:
    inputs = _plain(values, logits)
    out = torch.empty_like(inputs[0], memory_format=torch.contiguous_format)
    _call('condseg_outlook_forward', (*inputs, out), num_heads, kernel_size, scale)
    return out.to(values.dtype)


def _backward(
    grad: Tensor, values: Tensor, logits: Tensor, num_heads: int, kernel_size: int, scale: float
) -> tuple[Tensor, Tensor]:
    inputs = _plain(grad, values, logits)
    results = [torch.empty_like(x, memory_format=torch.contiguous_format) for x in inputs[1:]]
    _call('condseg_outlook_backward', (*inputs, *results), num_heads, kernel_size, scale)
    return results[0].to(values.dtype), results[1].to(logits.dtype)


_outlook = torch.library.custom_op(
    'condseg_mmseg::outlook', _forward, mutates_args=(), device_types='cpu'
)
_outlook_backward = torch.library.custom_op(
    'condseg_mmseg::outlook_backward', _backward, mutates_args=(), device_types='cpu'
)


@_outlook.register_fake
def _(values: Tensor, logits: Tensor, num_heads: int, kernel_size: int, scale: float) -> Tensor:
    return values.new_empty(values.shape)


@_outlook_backward.register_fake
def _(
    grad: Tensor, values: Tensor, logits: Tensor, num_heads: int, kernel_size: int, scale: float
) -> tuple[Tensor, Tensor]:
    return values.new_empty(values.shape), logits.new_empty(logits.shape)


def _vmap(op: Any, info: Any, in_dims: tuple, *args: Any) -> tuple[list[Tensor], int]:
    """Images are independent: the mapped dimension joins the batch. Returns maps of it first."""
    merged, size = [], info.batch_size
    for tensor, dim in zip(args, in_dims, strict=True):
        if isinstance(tensor, Tensor):
            tensor = tensor.expand(size, *tensor.shape) if dim is None else tensor.movedim(dim, 0)
            tensor = tensor.flatten(0, 1)
        merged.append(tensor)
    out = op(*merged)
    parts = [out] if isinstance(out, Tensor) else list(out)
    return [part.unflatten(0, (size, part.shape[0] // size)) for part in parts], 0


@_outlook.register_vmap
def _(info: Any, in_dims: tuple, *args: Any) -> tuple[Tensor, int]:
    (out,), dim = _vmap(torch.ops.condseg_mmseg.outlook, info, in_dims, *args)
    return out, dim


@_outlook_backward.register_vmap
def _(info: Any, in_dims: tuple, *args: Any) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
    out, dim = _vmap(torch.ops.condseg_mmseg.outlook_backward, info, in_dims, *args)
    return (out[0], out[1]), (dim, dim)


# Who else may want to see the operator: modes that watch calls (fake tensors, counters, make_fx),
# torch.func, and batches of gradients, whose tensors have no storage. PyTorch has no public names
# for these questions; one that lacks a name here calls the operator always.
_modes = getattr(torch._C, '_len_torch_dispatch_stack', lambda: 1)
_transforms = getattr(torch._C, '_are_functorch_transforms_active', lambda: True)
_has_storage = getattr(torch._C, '_has_storage', lambda _: False)
_modes_before = getattr(torch._ops, '_len_torch_dispatch_stack_pre_dispatch', lambda: 1)


def _is_eager(*tensors: Tensor) -> bool:
    """Whether nothing but autograd wants to see the operator, and memory holds the values."""
    if _modes() or _transforms() or _modes_before():
        return False
    return all(
        type(x) in (Tensor, torch.nn.Parameter)
        and x.is_cpu
        and _has_storage(x)
        and (x.data_ptr() or not x.numel())  # zeros that autograd made have no memory
        and not x.is_neg()
        for x in tensors
    )


class _Gradient(torch.autograd.Function):
    """The backward as a function of its own, so that a second derivative is refused in words."""

    generate_vmap_rule = True

    @staticmethod
    def forward(*args: Any) -> tuple[Tensor, Tensor]:
        return torch.ops.condseg_mmseg.outlook_backward(*args)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple:
        raise RuntimeError(
            "the native outlook aggregation has no second derivative; use backend='reference'"
        )


class _Outlook(torch.autograd.Function):
    """The operator with its gradient, as torch.func takes it.

    An operator's registered autograd does for all but torch.func, which PyTorch refuses there.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(*args: Any) -> Tensor:
        return torch.ops.condseg_mmseg.outlook(*args)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Any) -> None:
        ctx.save_for_backward(*inputs[:2])
        ctx.options = inputs[2:]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple:
        inputs = (grad, *ctx.saved_tensors)
        direct = _is_eager(*inputs) and not torch.is_grad_enabled()
        gradients = (_backward if direct else _Gradient.apply)(*inputs, *ctx.options)
        return *gradients, None, None, None


class _EagerOutlook(torch.autograd.Function):
    """The C functions without PyTorch's dispatcher, which takes longer than they do on small maps.

    At 1 x 1, forward and backward take 75 us so and 180 us by the operator. An autograd function
    written in the older way, with ``ctx`` in the forward, is the cheaper one too.
    """

    @staticmethod
    def forward(ctx: Any, *args: Any) -> Tensor:
        _Outlook.setup_context(ctx, args, None)
        return _forward(*args)

    backward = staticmethod(_Outlook.backward)


_outlook.register_autograd(_Outlook.backward, setup_context=_Outlook.setup_context)


def outlook_native(
    values: Tensor, logits: Tensor, num_heads: int, kernel_size: int, scale: float
) -> Tensor:
    """Aggregate ``values`` in C; CPU, stride 1, no weight dropout, one of :data:`DTYPES`.

    Arguments and result are those of :func:`condseg_mmseg.ops.outlook_aggregate`, already checked.
    float32 and bfloat16 are read and written as they are; tensors of float16, or of two dtypes, are
    converted to float32 around the call. All is computed in float32. Any memory format is taken;
    the result is contiguous, and the same for every number of threads. NaN and infinity spread as
    in the reference; only gradients at values that are not finite may differ near the image's
    border. A second derivative is refused.
    """
    if torch.compiler.is_compiling():  # the operator alone is one node of the graph
        return torch.ops.condseg_mmseg.outlook(values, logits, num_heads, kernel_size, scale)
    function = _EagerOutlook if _is_eager(values, logits) else _Outlook
    return function.apply(values, logits, num_heads, kernel_size, scale)
