"""Gradient checkpointing that counts every batch once in the statistics of BatchNorm."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.utils.checkpoint import checkpoint


@contextmanager
def _kept_statistics(modules: tuple[nn.Module, ...]) -> Iterator[None]:
    """Running statistics are updated on copies inside, which are thrown away."""
    kept = [
        (norm, name, buffer)
        for module in modules
        for norm in module.modules()
        if isinstance(norm, _NormBase)
        for name, buffer in norm.named_buffers(recurse=False)
    ]
    for norm, name, buffer in kept:
        setattr(norm, name, buffer.clone())
    try:
        yield
    finally:
        for norm, name, buffer in kept:
            setattr(norm, name, buffer)


def recompute(
    call: Callable, *args: Any, with_cp: bool = True, modules: tuple[nn.Module, ...] = ()
) -> Any:
    """``call(*args)``, whose inner maps are not kept but computed again in the backward pass.

    As ``with_cp`` of mmseg's backbones, except that the second pass leaves the running statistics
    alone: they are the same with and without. Where no gradient is wanted this is a plain call, and
    under ``torch.compile`` too, which itself chooses what to recompute.

    Args:
        call: A module, or a function that uses ``modules``.
        *args: Its arguments, which are kept.
        with_cp: False makes it a plain call. Default True.
        modules: What ``call`` runs, where it is not itself a module. Default ``()``.

    Returns:
        What the call returns.
    """
    if not with_cp or not torch.is_grad_enabled() or torch.compiler.is_compiling():
        return call(*args)
    if isinstance(call, nn.Module):
        modules = (*modules, call)

    def contexts() -> tuple[AbstractContextManager, AbstractContextManager]:
        return nullcontext(), _kept_statistics(modules)

    return checkpoint(call, *args, use_reentrant=False, context_fn=contexts)
