"""Gradient checkpointing that counts every batch once in the statistics of BatchNorm."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


@contextmanager
def _kept_statistics(modules: tuple[nn.Module, ...]) -> Iterator[None]:
    """Running statistics, and all buffers, are updated on copies inside, which are thrown away."""
    kept = [
        (owner, name, buffer)
        for module in modules
        for owner in module.modules()
        for name, buffer in owner.named_buffers(recurse=False)
    ]
    for owner, name, buffer in kept:
        setattr(owner, name, buffer.clone())
    try:
        yield
    finally:
        for owner, name, buffer in kept:
            setattr(owner, name, buffer)


# in its own words: "do not yet support saved tensor hooks", which is how checkpointing works
_in_transform = getattr(torch._C, '_are_functorch_transforms_active', lambda: False)


def recompute(
    call: Callable,
    *args: Any,
    with_cp: bool = True,
    modules: tuple[nn.Module, ...] = (),
    preserve_rng_state: bool = True,
) -> Any:
    """``call(*args)``, whose inner maps are not kept but computed again in the backward pass.

    As ``with_cp`` of mmseg's backbones, except that the second pass leaves the running statistics
    alone: they are the same with and without. It is a plain call where no gradient is wanted, under
    ``torch.func``, and under ``torch.compile``, which itself chooses what to recompute.

    Args:
        call: A module, or a function that uses ``modules``.
        *args: Its arguments, which are kept.
        with_cp: False makes it a plain call. Default True.
        modules: What ``call`` runs, where it is not itself a module. Default ``()``.
        preserve_rng_state: Whether both passes draw the same random numbers. Default True.

    Returns:
        What the call returns.
    """
    if not with_cp or not torch.is_grad_enabled():
        return call(*args)
    if torch.compiler.is_compiling() or _in_transform():
        return call(*args)
    if isinstance(call, nn.Module):
        modules = (*modules, call)

    def contexts() -> tuple[AbstractContextManager, AbstractContextManager]:
        return nullcontext(), _kept_statistics(modules)

    return checkpoint(
        call,
        *args,
        use_reentrant=False,
        context_fn=contexts,
        preserve_rng_state=preserve_rng_state,
    )
