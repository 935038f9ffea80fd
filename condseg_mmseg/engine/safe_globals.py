"""Lets ``torch.load(..., weights_only=True)`` read what mmengine writes into a checkpoint.

Beside tensors, a checkpoint of mmengine holds the message hub (``HistoryBuffer`` objects, numpy
arrays and numpy scalars) and, of a one-cycle schedule, its annealing function. Torch refuses those
by default, so that resuming fails on upstream mmengine, while the forks fall back to loading
without any safety. Once the few types are allowed, the safe load succeeds on both.
"""

from __future__ import annotations

from collections.abc import Callable
from pickle import UnpicklingError
from types import FunctionType
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.optim.scheduler.param_scheduler import OneCycleParamScheduler

try:
    from numpy._core import multiarray
except ImportError:  # numpy < 1.26
    from numpy.core import multiarray  # type: ignore[no-redef]

_ANNEALING = ('_annealing_cos', '_annealing_linear')
_DTYPES = (
    *(np.bool_, np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64),
    *(np.float16, np.float32, np.float64),
)


def checkpoint_method(owner: Any, name: str) -> Callable:
    """Stands in for ``getattr`` in a checkpoint, where it fetches a few known functions only.

    A pickled ``HistoryBuffer`` holds its statistics as ``getattr(HistoryBuffer, 'mean')``, and a
    one-cycle schedule its annealing function. To allow ``getattr`` itself would open every object's
    insides to the file.

    Args:
        owner: ``HistoryBuffer`` or ``OneCycleParamScheduler``.
        name: Name of a public method of the former, or of an annealing function of the latter.

    Raises:
        UnpicklingError: Anything else is asked for.
    """
    if owner is OneCycleParamScheduler and name in _ANNEALING:
        return getattr(owner, name)
    method = vars(HistoryBuffer).get(name) if owner is HistoryBuffer else None
    if name.startswith('_') or not isinstance(method, FunctionType):
        raise UnpicklingError(
            f'the checkpoint asks for attribute {name!r} of {owner!r}; only public methods of '
            'HistoryBuffer and the annealing functions of OneCycleParamScheduler are allowed'
        )
    return method


def mmengine_safe_globals() -> list[Callable | tuple[Callable, str]]:
    """Returns what a checkpoint of mmengine may hold, as (object, name in the file).

    Each object comes with its name, also where torch knows it. The forks' loader allows some of
    the same objects for a while, without names, and would remove ours from the list afterwards.
    """
    named: list[Callable | tuple[Callable, str]] = [
        (HistoryBuffer, 'mmengine.logging.history_buffer.HistoryBuffer'),
        (OneCycleParamScheduler, f'{OneCycleParamScheduler.__module__}.OneCycleParamScheduler'),
        (checkpoint_method, 'builtins.getattr'),
        (np.ndarray, 'numpy.ndarray'),
        (np.dtype, 'numpy.dtype'),
    ]
    # numpy 2 renamed the module; a file may come from the other numpy
    for module in ('numpy.core.multiarray', 'numpy._core.multiarray'):
        named += [
            (multiarray._reconstruct, f'{module}._reconstruct'),
            (multiarray.scalar, f'{module}.scalar'),
        ]
    for scalar in _DTYPES:
        dtype = type(np.dtype(scalar))
        named.append((dtype, f'{dtype.__module__}.{dtype.__qualname__}'))
    return named


def allow_mmengine_checkpoints() -> None:
    """Allows the types of :func:`mmengine_safe_globals` for the rest of the process."""
    torch.serialization.add_safe_globals(mmengine_safe_globals())
