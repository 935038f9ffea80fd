"""How unsure a prediction is, at every pixel: one function for every kind."""

from __future__ import annotations

import math

import torch
from torch import Tensor

KINDS = ('entropy', 'sid')
DEFAULT = 'entropy'


def uncertainty(kind: str, first: Tensor, second: Tensor | None = None) -> Tensor:
    """Compute the uncertainty of a prediction.

    Args:
        kind: ``'entropy'``: of the predicted probabilities, relative to the entropy of equal ones;
            for any model. ``'sid'``: 1 - |p_fg - p_bg| of the maps of a SID head.
        first: ``'entropy'``: the probabilities, (C, H, W), where C = 1 is the foreground's alone.
            ``'sid'``: the probability of the foreground, any shape.
        second: ``'sid'``: the probability of the background, of the same shape. Default None.

    Returns:
        In 0..1: (H, W) for ``'entropy'``, the shape of ``first`` for ``'sid'``.

    Raises:
        ValueError: An unknown kind, or ``'sid'`` without ``second``.
    """
    if kind == 'sid' and second is not None:
        return 1 - (first - second).abs()
    if kind == 'entropy':
        if len(first) == 1:
            first = torch.cat([first, 1 - first])
        return torch.special.entr(first).sum(0) / math.log(len(first))
    raise ValueError(f'kind must be one of {KINDS}, sid with two maps, got {kind!r}')
