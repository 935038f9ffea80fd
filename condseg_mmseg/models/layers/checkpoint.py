"""Gradient checkpointing (``with_cp``) that counts every batch once in BatchNorm's statistics."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


class _KeptBuffers:
    """Buffers of ``modules`` are updated on copies inside, which are thrown away.

    A class, as autograd enters the same object once for every backward pass through one graph.
    """

    def __init__(self, modules: tuple[nn.Module, ...]) -> None:
        self.modules = modules
        self.kept: list[tuple[nn.Module, str, torch.Tensor]] = []

    def __enter__(self) -> None:
        self.kept = [
            (owner, name, buffer)
            for module in self.modules
            for owner in module.modules()
            for name, buffer in owner.named_buffers(recurse=False)
        ]
        for owner, name, buffer in self.kept:
            setattr(owner, name, buffer.clone())

    def __exit__(self, *error: object) -> None:
        for owner, name, buffer in self.kept:
            setattr(owner, name, buffer)
        self.kept = []


# in torch's own words: "do not yet support saved tensor hooks", which is how checkpointing works
in_transform = getattr(torch._C, '_are_functorch_transforms_active', lambda: False)


def recompute(
    call: Callable, *args: Any, with_cp: bool, modules: tuple[nn.Module, ...] = ()
) -> Any:
    """``call(*args)``, with ``with_cp`` computing its inner maps again in the backward pass.

    As ``with_cp`` of mmseg's backbones, except that the second pass leaves the running statistics
    alone: they are the same with and without. It is a plain call where no gradient is wanted, under
    ``torch.func``, and under ``torch.compile``, which itself chooses what to recompute.

    Args:
        call: A module, or a function that uses ``modules``.
        *args: Its arguments, which are kept.
        with_cp: False makes it a plain call.
        modules: What ``call`` runs, where it is not itself a module. Default ``()``.

    Returns:
        What the call returns.
    """
    if not with_cp or not torch.is_grad_enabled():
        return call(*args)
    if torch.compiler.is_compiling() or in_transform():
        return call(*args)
    if isinstance(call, nn.Module):
        modules = (*modules, call)

    def contexts() -> tuple[AbstractContextManager, AbstractContextManager]:
        return nullcontext(), _KeptBuffers(modules)

    return checkpoint(call, *args, use_reentrant=False, context_fn=contexts)
