"""Draws the contact sheet of a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..configs import find_config, read_config
from ..utils.arguments import check_device, check_output, check_picture
from ..utils.errors import UserError
from ..utils.files import replaced_at_once
from ..visualization.contact_sheet import draw_sheet
from ._build import build_dataset, build_model, dataset_files


def contact_sheet(
    config: str | Path,
    checkpoint: str | Path,
    out: str | Path | None = None,
    *,
    split: str = 'val',
    num: int = 10,
    indices: Sequence[int] | None = None,
    data_root: str | Path | None = None,
    tile: int = 144,
    device: str = 'cpu',
    cfg_options: Mapping[str, Any] | None = None,
    force: bool = False,
) -> Path:
    """Draw image, truth, prediction, contours and, of a SID head, its three maps.

    Args:
        config: Config, by name or by path.
        checkpoint: Its checkpoint, read without running code.
        out: Picture to write. Default: ``contact_sheet_SPLIT.png`` beside the checkpoint.
        split: ``'val'`` (default) or ``'test'``: the data set of that dataloader.
        num: Number of images, evenly spaced in the data set. Default 10.
        indices: These images instead, from 0. Default None.
        data_root: Replaces that of the config. Default None.
        tile: Width of a picture in pixels, at least 32. Default 144.
        device: Default ``'cpu'``.
        cfg_options: Dotted key -> value, which change the config. Default None.
        force: Replace ``out`` if it is there. Default False.

    Returns:
        The file.

    Raises:
        UserError: The config, the checkpoint, the device, the data or an option cannot be used.
    """
    for name, value, least in (('num', num, 1), ('tile', tile, 32)):
        if value < least:
            raise UserError(f'--{name} must be >= {least}, got {value}')
    check_device(device)
    cfg = read_config(config, cfg_options)
    out = Path(out or Path(checkpoint).parent / f'contact_sheet_{split}.png')
    check_picture('--out', out)
    dataset = build_dataset(cfg, split, data_root)
    check_output('--out', out, [find_config(config), checkpoint, *dataset_files(dataset)], force)
    model = build_model(cfg, checkpoint, device)
    if indices is None:
        spaced = np.linspace(0, len(dataset) - 1, min(num, len(dataset)))
        indices = [int(i) for i in spaced.round()]
    sheet = draw_sheet(model, dataset, indices, tile)
    out.parent.mkdir(parents=True, exist_ok=True)
    with replaced_at_once(out) as temporary:
        if not cv2.imwrite(str(temporary), sheet[..., ::-1]):
            raise UserError(f'{out}: OpenCV could not write the picture')
    return out
