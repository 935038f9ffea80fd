"""What mmseg does between the logits of a segmentor and its prediction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn


def predicting_head(model: Any) -> Any:
    """Return the decode head whose logits are the prediction, in a cascade the last one.

    Args:
        model: A segmentor of mmseg.
    """
    head = model.decode_head
    return head[-1] if isinstance(head, nn.ModuleList) else head


def without_padding(maps: Tensor, meta: Mapping[str, Any]) -> Tensor:
    """Cut off what the data preprocessor has padded.

    Args:
        maps: Of the network's input, (..., h, w).
        meta: Meta information of the sample.

    Returns:
        (..., h', w'), a view.
    """
    left, right, top, bottom = meta.get('img_padding_size', meta.get('padding_size', [0] * 4))
    return maps[..., top : maps.shape[-2] - bottom, left : maps.shape[-1] - right]
