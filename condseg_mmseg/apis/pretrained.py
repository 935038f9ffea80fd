"""Trained networks of the distribution condseg-mmseg-weights."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from ..utils.errors import UserError
from ..utils.files import sha256

if TYPE_CHECKING:
    from mmseg.models import BaseSegmentor

PACKAGE = 'condseg_mmseg_weights'
MODEL = 'condseg_lite0_polyp'
"""The network that is taken where none is named."""

INSTALL = 'pip install ./weights (in a checkout of condseg-mmseg)'
KINDS = ('safetensors', 'json', 'py')


def pretrained(name: str = MODEL, device: str = 'cpu') -> BaseSegmentor:
    """Build a network with its trained weights. Nothing is downloaded.

    The weights were trained on data for research and education: see the licence and the model card
    of the distribution. The network works with ``mmseg.apis.inference_model``, which takes a file
    or a BGR image as OpenCV reads it.

    Args:
        name: Network, as the distribution names it. Default :data:`MODEL`.
        device: Where to put it, such as ``'cuda:0'``. Default ``'cpu'``.

    Returns:
        The network, in evaluation mode, with ``cfg`` and ``dataset_meta``.

    Raises:
        UserError: The distribution is not installed, has no such network, or a file of it is
            damaged.
    """
    from mmengine.config import Config
    from mmseg.apis import init_model

    from ..engine.checkpoint_loader import read_weights

    weights, described, config = pretrained_files(name)
    record = json.loads(described.read_text(encoding='utf-8'))
    found = sha256(weights)
    if found != record['sha256']:
        raise UserError(
            f'{weights} is damaged: its SHA-256 is {found}, not {record["sha256"]}; install it '
            f'again: {INSTALL}'
        )
    model = init_model(Config.fromfile(config), device='cpu')
    try:
        model.load_state_dict(read_weights(weights), strict=True)
    except RuntimeError as error:
        raise UserError(f'{weights} does not fit {config}: {error}') from error
    model.dataset_meta = record['dataset_meta']
    return model.to(device)


def pretrained_files(name: str = MODEL) -> tuple[Path, Path, Path]:
    """Find the files of a trained network.

    Args:
        name: As of :func:`pretrained`.

    Returns:
        Weights (``.safetensors``), description (``.json``) and config (``.py``).

    Raises:
        UserError: The distribution is not installed or has no such network.
    """
    try:
        package = importlib.import_module(PACKAGE)
    except ImportError as error:
        raise UserError(f'pretrained weights are not installed: {INSTALL}') from error
    names = package.names()
    if name not in names:
        raise UserError(f'no pretrained network {name!r}; there is {", ".join(names) or "none"}')
    weights, described, config = (package.FOLDER / f'{name}.{kind}' for kind in KINDS)
    return weights, described, config
