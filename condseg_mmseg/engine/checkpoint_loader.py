"""Loads checkpoints without running what they say, and only whole ones.

Importing this module makes mmengine load through it, whatever names the checkpoint: ``load_from``,
``--resume``, ``tools/test.py``, ``init_cfg=dict(type='Pretrained')``, ``init_model``. mmengine's
own loaders may run the code in a file: where the safe load refuses it, the forks load it once more,
unsafely. This works for any project of mmengine, without ConDSeg.
"""

from __future__ import annotations

import os
import pickle
import re
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import all_gather_object, get_rank
from mmengine.fileio import get_file_backend
from mmengine.logging import print_log
from mmengine.runner import checkpoint as mmengine_checkpoint
from mmengine.runner.checkpoint import CheckpointLoader

from ..utils.errors import UserError, user_errors
from ..utils.extras import require
from ..utils.files import sha256
from ..utils.text import first_ten
from .damage import damage_of

#: torch's own escape; it reads the variable only where ``weights_only`` is not passed to it.
ESCAPE = 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'
_HASH = re.compile(r'-([0-9a-f]{8,64})\.[a-z]+$')


class MissingCheckpoint(UserError, FileNotFoundError):
    """A checkpoint that is not there."""


def require_checkpoint(path: str | Path, advice: str = '') -> Path:
    """Return the path of a checkpoint, with ``~`` expanded, and refuse one that is not there.

    Args:
        path: A file.
        advice: What the message ends with, after a line break. Default ``''``.

    Raises:
        MissingCheckpoint: There is no such file.
    """
    path = Path(path).expanduser()
    if path.is_file():
        return path
    where = '' if path.is_absolute() else f' in {Path.cwd()}'
    there = 'a folder, no checkpoint, is' if path.is_dir() else 'there is no checkpoint'
    sentence = f'{there} {path}{where}'
    raise MissingCheckpoint(f'{sentence}\n{advice}' if advice else sentence)


def read_checkpoint(path: str | Path, map_location: Any = 'cpu') -> Any:
    """Read a checkpoint: tensors, and the few types beside them that mmengine writes.

    A ``.pth`` file is an archive with a checksum for every tensor, and all of them are checked.
    mmengine's resume runs the text ``meta['config']`` of older checkpoints as Python: it is left
    out.

    Args:
        path: File of ``torch.save``, or ``.safetensors``.
        map_location: As of ``torch.load``. Default 'cpu'.

    Returns:
        The content; of ``.safetensors`` ``dict(state_dict=..., meta={})``.

    Raises:
        MissingCheckpoint: It is not there.
        UserError: It is damaged, holds what the safe load refuses, or has NaN among its weights.
    """
    path = require_checkpoint(path)
    if path.suffix == '.safetensors':
        content = {'state_dict': _read_safetensors(path, map_location), 'meta': {}}
    else:
        damage = damage_of(path)
        if damage:
            raise UserError(f'{path} cannot be read as a checkpoint of tensors: {damage}')
        content = _read_pickle(path, map_location)
    if isinstance(content, dict):
        if isinstance(content.get('meta'), dict):
            content['meta'].pop('config', None)
        weights = content.get('state_dict', content)
        items = weights.items() if isinstance(weights, dict) else ()
        bad = [str(name) for name, value in items if _has_nan(value)]
        if bad:
            raise UserError(
                f'{path}: not a number (NaN) in {first_ten(bad)}; its training has diverged'
            )
    return content


def read_weights(path: str | Path) -> dict[str, torch.Tensor]:
    """Read the state dict of a checkpoint.

    Args:
        path: As of :func:`read_checkpoint`. The state dict may lie under ``state_dict`` or
            ``model``, and its names may begin with ``module.``, which is taken off.

    Returns:
        Name -> tensor.

    Raises:
        UserError: It is not there, :func:`read_checkpoint` refuses it, or it holds no weights.
    """
    with user_errors(OSError):
        state = read_checkpoint(path)
    for key in ('state_dict', 'model'):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise UserError(f'{path} holds no state dict (name -> tensor)')
    return {name.removeprefix('module.'): value for name, value in state.items()}


def download(url: str) -> Path:
    """Download a file once, into torch's cache, and check it.

    A name such as ``encoder-0123abcd.pth`` carries the begin of its SHA-256, which must hold. Of
    all others the hash is logged, so that it can be compared.

    Args:
        url: An ``http(s)`` address.

    Returns:
        The file in the cache.

    Raises:
        UserError: It cannot be downloaded, or is not what its name says.
    """
    name = url.partition('?')[0].rpartition('/')[2]
    path = Path(torch.hub.get_dir()) / 'checkpoints' / name
    expected = _HASH.search(name)
    try:
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(path), progress=False)
    except Exception as error:  # of the network, the address, the disk
        raise UserError(
            f'{url} cannot be loaded: {type(error).__name__}: {error}; without internet, give the '
            'file instead'
        ) from error
    found = sha256(path)
    if expected and not found.startswith(expected[1]):
        raise UserError(
            f'{path}, from {url}, has the SHA-256 {found}, which does not begin with the '
            f'{expected[1]} of its name: delete it, it is damaged or was replaced'
        )
    if not expected:
        print_log(f'{url}: SHA-256 {found}', logger='current')
    return path


def load_from_local(filename: str, map_location: Any = None) -> Any:
    """Load a file."""
    return read_checkpoint(filename, map_location)


def load_from_http(filename: str, map_location: Any = None) -> Any:
    """Load an address: the first process downloads it, then the others; all fail together."""
    content: Any = None
    error: UserError | None = None
    for mine in (get_rank() == 0, get_rank() != 0):
        if mine:
            try:
                content = read_checkpoint(download(filename), map_location)
            except UserError as reason:
                error = reason
        # a process that stopped alone would leave the others waiting for it
        for failed in all_gather_object(error):
            if failed is not None:
                raise failed
    return content


def load_from_torchvision(filename: str, map_location: Any = None) -> Any:
    """Load ``torchvision://NAME``."""
    url = _entry(filename, mmengine_checkpoint.get_torchvision_models())
    return load_from_http(url, map_location)


def load_from_openmmlab(filename: str, map_location: Any = None) -> Any:
    """Load ``open-mmlab://NAME``: an address, or a file below the home of mmengine."""
    renamed = mmengine_checkpoint.get_deprecated_model_names()
    scheme, _, name = filename.partition('://')
    target = _entry(
        f'{scheme}://{renamed.get(name, name)}', mmengine_checkpoint.get_external_models()
    )
    if target.startswith(('http://', 'https://')):
        return load_from_http(target, map_location)
    return read_checkpoint(
        os.path.join(mmengine_checkpoint._get_mmengine_home(), target), map_location
    )


def load_from_mmcls(filename: str, map_location: Any = None) -> Any:
    """Load ``mmcls://NAME``, of which mmengine keeps the backbone."""
    content = load_from_http(_entry(filename, mmengine_checkpoint.get_mmcls_models()), map_location)
    return mmengine_checkpoint._process_mmcls_checkpoint(content)


def load_from_ceph(filename: str, map_location: Any = None) -> Any:
    """Load ``s3://...`` or ``petrel://...`` through the file backend of mmengine."""
    backend = get_file_backend(filename, backend_args={'backend': 'petrel'})
    with backend.get_local_path(filename) as path:
        return read_checkpoint(path, map_location)


def load_from_pavi(filename: str, map_location: Any = None) -> Any:
    """Refuse ``pavi://...``, whose client nobody outside its company can install."""
    raise UserError(f'{filename}: pavi:// is not supported; download the file and name it')


def register_loaders() -> None:
    """Make mmengine load through this module, for the rest of the process."""
    for prefixes, loader in (
        ('', load_from_local),
        (('http://', 'https://'), load_from_http),
        (('modelzoo://', 'torchvision://'), load_from_torchvision),
        (('open-mmlab://', 'openmmlab://'), load_from_openmmlab),
        ('mmcls://', load_from_mmcls),
        ((r'(\S+\:)?s3://', r'(\S+\:)?petrel://'), load_from_ceph),
        ('pavi://', load_from_pavi),
    ):
        CheckpointLoader.register_scheme(prefixes, loader, force=True)


def _entry(filename: str, table: dict[str, str]) -> str:
    name = filename.partition('://')[2]
    if name not in table:
        raise UserError(f'{filename}: mmengine knows no model of this name')
    return table[name]


def _read_pickle(path: Path, map_location: Any) -> Any:
    try:
        return torch.load(path, map_location=map_location)
    except pickle.UnpicklingError as error:
        # the plain error and its first sentence: what follows is advice to load unsafely
        text = ' '.join(str(error.__context__ or error).split())
        reason = text.split('. ')[0].rstrip('.')
        raise UserError(
            f'{path} cannot be read as a checkpoint of tensors: it holds what the safe load of '
            f'torch refuses, and might run code ({reason}). If you trust who wrote it, set '
            f'{ESCAPE}=1'
        ) from error
    except Exception as error:  # of many kinds, depending on what a file of another program holds
        reason = ' '.join(f'{type(error).__name__}: {error}'.split()).split('. ')[0]
        raise UserError(
            f'{path} cannot be read as a checkpoint of tensors: {reason.rstrip(".")}'
        ) from error


def _read_safetensors(path: Path, map_location: Any) -> dict[str, torch.Tensor]:
    require('safetensors.torch', f'reading {path}', 'safetensors')
    from safetensors.torch import load_file

    device = 'cpu' if map_location is None or callable(map_location) else str(map_location)
    try:
        return load_file(path, device=device)
    except Exception as error:  # SafetensorError, or of the device
        raise UserError(f'{path} cannot be read as safetensors: {error}') from error


def _has_nan(value: Any) -> bool:
    # the sum is NaN if an element is, and costs no copy
    return (
        isinstance(value, torch.Tensor)
        and value.is_floating_point()
        and bool(value.sum().isnan())
        and bool(value.isnan().any())
    )
