"""The segmentor of a runner, whatever is wrapped around it."""

from __future__ import annotations

from typing import Any

from mmengine.model import BaseTTAModel, is_model_wrapper
from torch import nn


def segmentor_with(attribute: str, runner: Any, hook: Any) -> nn.Module:
    """Return the segmentor inside data-parallel and test-time wrappers.

    Args:
        attribute: What ``hook`` needs of it.
        runner: mmengine's runner.
        hook: The hook that asks, for the message.

    Raises:
        TypeError: It has no such attribute.
    """
    model = runner.model
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    if not hasattr(model, attribute):
        raise TypeError(
            f'{type(hook).__name__} works on segmentors with {attribute}, got '
            f'{type(model).__name__}: take it out of default_hooks and custom_hooks'
        )
    return model
