"""Mixed precision on any device, the CPU included."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from mmseg.registry import OPTIM_WRAPPERS
from torch import nn

from .dilated_bfloat16 import guard_dilated_bfloat16


@OPTIM_WRAPPERS.register_module()
class AutocastOptimWrapper(OptimWrapper):
    """mmengine's OptimWrapper with the forward pass under ``torch.autocast``.

    mmengine's ``AmpOptimWrapper`` asserts an accelerator. This one takes the device from the model
    and needs no gradient scaling, since bfloat16 has the range of float32. Use it with
    ``--cfg-options optim_wrapper.type=AutocastOptimWrapper``. On a CPU it guards the model against
    a defect of PyTorch (:func:`.dilated_bfloat16.guard_dilated_bfloat16`) and logs which
    convolutions that concerns.

    Args:
        dtype: Precision of the forward pass; only 'bfloat16', since float16 needs the scaling of
            ``AmpOptimWrapper``. Default 'bfloat16'.
        **kwargs: Arguments of mmengine's ``OptimWrapper``.

    Raises:
        ValueError: Another ``dtype``.
    """

    def __init__(self, *, dtype: str = 'bfloat16', **kwargs: Any) -> None:
        if dtype != 'bfloat16':
            raise ValueError(
                f"dtype must be 'bfloat16', got {dtype!r}; for float16 use type='AmpOptimWrapper'"
            )
        super().__init__(**kwargs)
        self.dtype = torch.bfloat16
        self._guarded = False

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Run the forward pass of ``model`` in the lower precision, on its own device."""
        device = next(model.parameters()).device.type
        if device == 'cpu' and not self._guarded:
            self._guarded = True
            if names := guard_dilated_bfloat16(model):
                print_log(
                    'AutocastOptimWrapper: these convolutions train on contiguous maps, since '
                    'their bfloat16 gradients are wrong in channels-last memory on CPUs: '
                    + ', '.join(names),
                    logger='current',
                )
        with super().optim_context(model), torch.autocast(device, dtype=self.dtype):
            yield
