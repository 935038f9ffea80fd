"""The outlook aggregation in C (``csrc``) as an operator of PyTorch, for CPUs.

One pass over values and logits: the softmax, W and the multiply-adds of :mod:`.fast` are computed
row by row in registers and the caches, and the backward recomputes the softmax. Values and logits
are all that is kept for it.
"""

from typing import Any

import torch
from torch import Tensor

from .library import load

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
_TYPES = {torch.float32: 0, torch.bfloat16: 1}  # what csrc reads and writes, by its numbers
_WORK_PER_THREAD = 1 << 21  # multiply-adds, about 0.1 ms: below that a thread costs what it saves


def _call(name: str, tensors: tuple[Tensor, ...], num_heads: int, k: int, scale: float) -> None:
    """Run a function of the library on contiguous tensors of one dtype, first one like values."""
    lib = load()
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
            "the native outlook aggregation has no second derivative; use backend='fast'"
        )


class _Outlook(torch.autograd.Function):
    """The operator with its gradient, as torch.func takes it.

    The autograd that is registered with an operator works everywhere but in torch.func.
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
        return *_Gradient.apply(grad, *ctx.saved_tensors, *ctx.options), None, None, None


_outlook.register_autograd(_Outlook.backward, setup_context=_Outlook.setup_context)


def outlook_native(
    values: Tensor, logits: Tensor, num_heads: int, kernel_size: int, scale: float
) -> Tensor:
    """Aggregate ``values`` in C; CPU, stride 1, no weight dropout, one of :data:`DTYPES`.

    Arguments and result are those of :func:`condseg_mmseg.ops.outlook_aggregate`, already checked.
    float32 and bfloat16 are read and written as they are; tensors of float16, or of two dtypes, are
    converted to float32 around the call. All is computed in float32. Any memory format is taken;
    the result is contiguous, and the same for every number of threads and on every CPU with fused
    multiply-adds. NaN and infinity spread as in the reference; only gradients at values that are
    not finite may differ near the image's border. A second derivative is refused.
    """
    if torch.compiler.is_compiling():  # the operator alone is one node of the graph
        return torch.ops.condseg_mmseg.outlook(values, logits, num_heads, kernel_size, scale)
    return _Outlook.apply(values, logits, num_heads, kernel_size, scale)
