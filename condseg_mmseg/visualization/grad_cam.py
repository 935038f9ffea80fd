"""Grad-CAM: where a module's maps support the predicted foreground."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from ..models.segmentors.prediction import predicting_head
from ..utils.errors import UserError
from ..utils.extras import require
from .contact_sheet import enlarge, stack_rows


def find_module(model: nn.Module, name: str) -> nn.Module:
    """Find a module by its name.

    Args:
        model: A network.
        name: Dotted, such as ``'backbone.layer4'``.

    Raises:
        UserError: There is none; names those that are called nearly the same.
    """
    modules = dict(model.named_modules())
    if name and name in modules:
        return modules[name]
    near = difflib.get_close_matches(name, modules, n=3, cutoff=0.4)
    hint = f'; did you mean {" or ".join(near)}?' if near else ''
    raise UserError(f'--grad-cam: the model has no module {name}{hint}')


def grad_cam(
    model: Any, inputs: Tensor, metas: list[dict], module: str, foreground: Sequence[int] = (1,)
) -> np.ndarray:
    """Compute Grad-CAM (Selvaraju et al., 2017) for segmentation, by captum.

    What is explained is the sum of the logits of the predicted label over the pixels that are
    predicted as foreground (for one channel, by the threshold of the decode head), or over all
    pixels where none is.

    Args:
        model: A segmentor in eval mode.
        inputs: One preprocessed image, (1, 3, H, W).
        metas: Its meta information.
        module: Name of a module that returns one map (1, C, h, w).
        foreground: Labels that count. Default ``(1,)``.

    Returns:
        (h, w) float32, the largest value 1 (or all 0).

    Raises:
        UserError: There is no such module, it does not run in prediction, or gives no such map.
        MissingPackage: captum is not installed.
    """
    require('captum.attr', 'Grad-CAM', 'explain')
    from captum.attr import LayerGradCam

    layer = find_module(model, module)
    outputs: list[Any] = []
    handle = layer.register_forward_hook(lambda _, args, output: outputs.append(output))

    def score(images: Tensor) -> Tensor:
        logits = model.encode_decode(images, metas)
        if logits.shape[1] == 1:
            inside, best = logits.sigmoid() > predicting_head(model).threshold, logits
        else:
            best, labels = logits.max(1, keepdim=True)
            inside = torch.isin(labels, torch.tensor(list(foreground), device=labels.device))
        return (best * (inside if inside.any() else torch.ones_like(best))).sum((1, 2, 3))

    try:
        with torch.no_grad():
            score(inputs)
    finally:
        handle.remove()
    if not outputs:
        raise UserError(
            f'--grad-cam: {module} is not called when the model predicts; name a module inside it'
        )
    if not isinstance(outputs[0], Tensor) or outputs[0].ndim != 4:
        raise UserError(f'--grad-cam: {module} does not return one map (1, C, h, w)')
    with torch.enable_grad():
        cam = LayerGradCam(score, layer).attribute(inputs, relu_attributions=True)
    values = cam[0, 0].detach().float().cpu().numpy()
    return values / max(float(values.max()), np.finfo(np.float32).tiny)


def draw_cams(
    image: np.ndarray, cams: Sequence[tuple[str, Sequence[np.ndarray]]], titles: Sequence[str],
    tile: int = 288,
) -> np.ndarray:  # fmt: skip
    """Draw an image and its maps side by side: a row for each module, a column for each model.

    Args:
        image: RGB (H, W, 3).
        cams: Name of each module, and its maps, one a model.
        titles: Name of each model.
        tile: Width of a picture in pixels. Default 288.

    Returns:
        RGB, uint8.
    """
    small = enlarge(image, tile)
    rows = []
    for module, maps in cams:
        tiles = [small]
        for values in maps:
            big = cv2.resize(values, small.shape[1::-1], interpolation=cv2.INTER_LINEAR)
            colours = cv2.applyColorMap((255 * big).astype(np.uint8), cv2.COLORMAP_INFERNO)
            tiles.append(cv2.addWeighted(small, 0.45, colours[..., ::-1].copy(), 0.55, 0))
        parent, _, last = module.rpartition('.')
        rows.append((tiles, parent or last, last if parent else ''))
    return stack_rows(rows, ['image', *titles], tile)
