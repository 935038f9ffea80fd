"""Sums over the batches of all processes."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


class _SumOverRanks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad * dist.get_world_size()


def sum_over_ranks(x: Tensor) -> Tensor:
    """Add up a tensor over all processes, so that DistributedDataParallel has the right gradient.

    Let s_r be the sum of process r, and L(s_1 + ... + s_R) the loss, which all R processes compute
    alike. One process with the whole batch has the gradient L' (ds_1 + ... + ds_R).
    DistributedDataParallel takes the mean of what the processes have, so process r must have
    R L' ds_r: the gradient of this sum is R times the one that comes back. A loss that is not the
    same in all processes would need the sum of their gradients instead.

    Without gradients (validation) and in one process ``x`` comes back as it is: batches of
    validation may differ in number between processes.

    Args:
        x: Sums over the batch of this process, of any shape; the same shape in all processes.

    Returns:
        The sums over all processes, of the same shape.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return x
    return _SumOverRanks.apply(x) if torch.is_grad_enabled() else x
