"""Builds the model and the data set of a config, as a task uses them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS, MODELS
from torch import nn

from ..engine import read_weights
from ..utils.errors import UserError, user_errors


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
