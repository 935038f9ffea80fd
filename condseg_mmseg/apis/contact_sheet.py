"""Draws the contact sheet of a checkpoint."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS, MODELS
from torch import nn

from ..configs import find_config, read_config
from ..engine import read_weights
from ..utils.arguments import check_device, check_output
from ..utils.errors import UserError, user_errors
from ..utils.files import replaced_at_once
from ..visualization.contact_sheet import draw_sheet


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


def check_picture(option: str, output: str | Path) -> None:
    """Refuse a file whose ending is that of no picture.

    Args:
        option: How the user names the output, such as ``'--out'``.
        output: File to write.

    Raises:
        UserError: OpenCV cannot write it.
    """
    if not cv2.haveImageWriter(str(output)):
        raise UserError(f'{option} {output}: end it in .png or another kind of picture')


def build_model(
    config: Config,
    checkpoint: str | Path,
    device: str = 'cpu',
    training_only: Sequence[str] = (),
) -> nn.Module:
    """Build the model of a config, load all its weights, and set it to eval.

    Args:
        config: With ``model``.
        checkpoint: Read without running code.
        device: Default ``'cpu'``.
        training_only: Regular expressions, matched from the begin of a name, of weights that the
            checkpoint need not hold. Default ``()``: it must hold all.

    Raises:
        UserError: The checkpoint cannot be read safely, or does not fit the model.
    """
    init_default_scope(config.get('default_scope', 'mmseg'))
    model = MODELS.build(config.model)
    weights = read_weights(checkpoint)
    optional = {
        name: value
        for name, value in model.state_dict().items()
        if any(re.match(pattern, name) for pattern in training_only)
    }
    try:
        model.load_state_dict(optional | weights)
    except RuntimeError as error:
        raise UserError(f'{checkpoint} does not fit the config: {error}') from error
    return model.to(device).eval()


def build_dataset(config: Config, split: str, data_root: str | Path | None = None) -> Any:
    """Build the data set of ``val_dataloader`` or ``test_dataloader``.

    Args:
        config: With that dataloader.
        split: ``'val'`` or ``'test'``.
        data_root: Replaces that of the config. Default None.

    Raises:
        UserError: The config has no such loader, or files are missing.
    """
    init_default_scope(config.get('default_scope', 'mmseg'))
    if not config.get(f'{split}_dataloader'):
        raise UserError(f'{config.filename} has no {split}_dataloader')
    settings = config[f'{split}_dataloader'].dataset
    if data_root is not None:
        settings.data_root = str(data_root)
    with user_errors(OSError, ValueError):
        return DATASETS.build(settings)


def dataset_files(dataset: Any) -> list[str | None]:
    """The images and masks of a data set, which nothing may overwrite.

    Args:
        dataset: Of mmseg.
    """
    samples = map(dataset.get_data_info, range(len(dataset)))
    return [sample.get(key) for sample in samples for key in ('img_path', 'seg_map_path')]
