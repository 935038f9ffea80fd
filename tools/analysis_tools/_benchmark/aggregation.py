"""One case of CDFA's aggregation: its tensors, its passes, the bytes that it must move."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from condseg_mmseg.ops import outlook_aggregate

DIRECTIONS = {'forward': 'forward', 'both': 'forward + backward'}


@dataclass(frozen=True)
class Case:
    """A size of the aggregation: images, height and width in pixels, odd window."""

    batch: int
    height: int
    width: int
    kernel_size: int

    def __str__(self) -> str:
        return f'{self.batch} x {self.height} x {self.width}, k = {self.kernel_size}'

    @property
    def name(self) -> str:
        """Without spaces."""
        return f'{self.batch}x{self.height}x{self.width}-k{self.kernel_size}'

    @property
    def pixels(self) -> int:
        """Of all images."""
        return self.batch * self.height * self.width

    def tensors(
        self, channels: int, num_heads: int, dtype: str, device: str
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Random values (N, C, H, W), logits (N, heads * k^4, H, W), gradient like values."""
        shape = self.batch, channels, self.height, self.width
        rows = self.batch, num_heads * self.kernel_size**4, self.height, self.width
        tensors = torch.randn(shape), torch.randn(rows), torch.randn(shape)
        values, logits, grad = (x.to(device, getattr(torch, dtype)) for x in tensors)
        return values, logits, grad

    def bytes_to_move(self, channels: int, num_heads: int, dtype: str, direction: str) -> int:
        """Bytes that any implementation reads or writes at least once.

        Forward: values, logits and result. With the backward pass also the gradient of the result,
        and those of values and logits. That the backward pass must read values and logits a second
        time where they do not stay in a cache is not counted.
        """
        size = getattr(torch, dtype).itemsize
        values = self.pixels * channels * size
        logits = self.pixels * num_heads * self.kernel_size**4 * size
        forward = 2 * values + logits
        return forward if direction == 'forward' else 2 * forward


def make_call(
    tensors: tuple[Tensor, Tensor, Tensor], num_heads: int, k: int, backend: str, direction: str
) -> Callable[[], dict[str, Tensor]]:
    """Make a call of the op, which returns the result or the two gradients.

    Args:
        tensors: Values, logits, gradient of the result.
        num_heads: Heads.
        k: Window size.
        backend: As for :func:`outlook_aggregate`.
        direction: 'forward' or 'both'.
    """
    values, logits, grad = tensors
    if direction == 'forward':

        def forward() -> dict[str, Tensor]:
            with torch.no_grad():
                return {'result': outlook_aggregate(values, logits, num_heads, k, backend=backend)}

        return forward
    leaves = values.requires_grad_(), logits.requires_grad_()

    def both() -> dict[str, Tensor]:
        result = outlook_aggregate(*leaves, num_heads, k, backend=backend)
        grad_values, grad_logits = torch.autograd.grad(result, leaves, grad)
        return {'result': result.detach(), 'values': grad_values, 'logits': grad_logits}

    return both


def copy_bandwidth(device: str, megabytes: int = 256, repeats: int = 10) -> float:
    """Bytes a second that ``copy_`` of a large tensor reads and writes, the best of several.

    Args:
        device: 'cpu' or a CUDA device.
        megabytes: Size of the tensor, far more than the caches hold. Default 256.
        repeats: Copies. Default 10.
    """
    source = torch.ones(megabytes * 10**6 // 4, device=device)
    target = torch.zeros_like(source)
    seconds = []
    for _ in range(repeats):
        if device != 'cpu':
            torch.cuda.synchronize(device)
        start = time.perf_counter()
        target.copy_(source)
        if device != 'cpu':
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - start)
    return 2 * source.nbytes / min(seconds)
