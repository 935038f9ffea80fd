"""Starts a module from a checkpoint, and stops unless every weight of it was found there."""

from __future__ import annotations

from pathlib import Path

import torch
from mmengine.logging import print_log
from mmengine.model import update_init_info
from mmengine.runner.checkpoint import CheckpointLoader
from mmseg.registry import WEIGHT_INITIALIZERS
from torch import Tensor, nn

from ..utils.text import first_ten
from .best_checkpoint import best_checkpoint
from .checkpoint_loader import require_checkpoint
from .strict_load import compare

_HOW_TO_START = """\
Stage 2 starts from the encoder that stage 1 trained. To train both stages:
  condseg train STAGE1_CONFIG STAGE2_CONFIG
Where stage 1 is trained already, name its checkpoint or working directory:
  --cfg-options model.backbone.init_cfg.checkpoint=FILE
To start without stage 1, from random weights or from a file of ImageNet weights:
  --cfg-options model.backbone.init_cfg=None
  --cfg-options model.backbone.init_cfg.checkpoint=FILE model.backbone.init_cfg.prefix=None \
model.backbone.init_cfg.allow_unexpected=True"""


@WEIGHT_INITIALIZERS.register_module()
class StrictPretrained:
    """Initialise a module from a checkpoint that must hold all of it.

    mmengine's ``Pretrained`` loads what it happens to find: a checkpoint that matches nothing
    passes in silence. This one loads everything or stops, with the lists of what does not fit. It
    is how stage 2 starts from the encoder of stage 1, BatchNorm statistics included (paper, section
    "Overall Architecture"; method section 6)::

        backbone = dict(
            init_cfg=dict(
                type='StrictPretrained',
                checkpoint='work_dirs/condseg-stage1_...',
                prefix='backbone.',
            )
        )

    mmengine initialises weights in training only: testing and inference do not read the file.

    Args:
        checkpoint: A file of torch or ``.safetensors``, an ``http(s)`` address, or a working
            directory of mmengine, of which the best checkpoint is taken (:func:`best_checkpoint`).
            Relative to the current directory.
        prefix: What the names of this module's weights begin with in the checkpoint, 'backbone.'
            for the encoder of a segmentor. Default None: the checkpoint is of the module itself.
        buffers: Whether the buffers, that is BatchNorm's statistics, are loaded too. False is what
            the released code does (method section 7, row d). Default True.
        allow_unexpected: Whether the checkpoint may hold more under ``prefix`` than the module has,
            as the classifier of ImageNet weights. Default False: the first layers of a deeper
            network would fit in silence.
        map_location: Where the tensors are loaded to. Default 'cpu'.

    Raises:
        MissingCheckpoint: A FileNotFoundError: ``checkpoint`` is not there.
        ValueError: It is truncated or refused by the safe load; weights are missing, of another
            shape, not finite or left over; or another initialisation would follow this one.
    """

    def __init__(
        self,
        checkpoint: str,
        prefix: str | None = None,
        buffers: bool = True,
        allow_unexpected: bool = False,
        map_location: str | torch.device = 'cpu',
    ) -> None:
        self.checkpoint = str(checkpoint)
        self.prefix = f'{prefix.rstrip(".")}.' if prefix else ''
        self.buffers = buffers
        self.allow_unexpected = allow_unexpected
        self.map_location = map_location

    def __call__(self, module: nn.Module) -> None:
        """Load ``module`` from the checkpoint."""
        _check_is_last(module)
        source, weights = self._load()
        loaded = self._select(module, source, weights)
        module.load_state_dict(loaded, strict=False)
        # mmengine initialises the children after this, and would undo it. It does not where they
        # say that they are done.
        for child in module.modules():
            if child is not module and hasattr(child, 'init_weights'):
                setattr(child, 'is_init', True)  # noqa: B010
        parameters = sum(name in loaded for name, _ in module.named_parameters())
        print_log(
            f'{type(module).__name__}: {parameters} parameters and {len(loaded) - parameters} '
            f'buffers from {f"{self.prefix}* of " if self.prefix else ""}{source}',
            logger='current',
        )
        if hasattr(module, '_params_init_info'):
            update_init_info(module, init_info=f'StrictPretrained: {source}')

    def _load(self) -> tuple[str, dict[str, Tensor]]:
        """Returns the file, or the address, and the state dict in it."""
        source = self.checkpoint
        if '://' not in source:
            path = Path(source).expanduser()
            found = best_checkpoint(path) if path.is_dir() else None
            source = str(found or require_checkpoint(path, _HOW_TO_START))
        content = CheckpointLoader.load_checkpoint(source, self.map_location)
        weights = content.get('state_dict', content) if isinstance(content, dict) else None
        if not isinstance(weights, dict) or not all(isinstance(key, str) for key in weights):
            raise ValueError(f'{source} holds no state dict but a {type(content).__name__}')
        return source, weights

    def _select(
        self, module: nn.Module, source: str, weights: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Returns what is to be loaded, or raises with all that does not fit."""
        given = {
            key[len(self.prefix) :]: value
            for key, value in weights.items()
            if key.startswith(self.prefix)
        }
        if not given:
            begins = sorted({key.partition('.')[0] + '.' for key in weights})
            raise ValueError(
                f'{source}: no name begins with {self.prefix!r}; they begin with '
                f'{first_ten(begins)}'
            )
        own = module.state_dict()
        wanted = set(own) if self.buffers else {name for name, _ in module.named_parameters()}
        missing, shapes, left_over = compare(own, given)
        problems = {
            'missing': [name for name in missing if name in wanted],
            'of another shape': [text for name, text in shapes.items() if name in wanted],
            'left over': [] if self.allow_unexpected else left_over,
        }
        found = [f'  {len(v)} {what}: {first_ten(v)}' for what, v in problems.items() if v]
        if found:
            raise ValueError(
                f'{source} does not fit {type(module).__name__}'
                + (f' (names under {self.prefix!r})' if self.prefix else '')
                + ':\n'
                + '\n'.join(found)
            )
        chosen = {name: given[name] for name in own if name in wanted and name in given}
        bad = [
            name for name, value in chosen.items() if not torch.as_tensor(value).isfinite().all()
        ]
        if bad:
            raise ValueError(f'{source}: not finite: {first_ten(bad)}; its training has diverged')
        return chosen


def _check_is_last(module: nn.Module) -> None:
    """Refuse a list of ``init_cfg`` in which something follows that would write over the load."""
    configs = getattr(module, 'init_cfg', None)
    if not isinstance(configs, (list, tuple)):
        return
    types = [str(config.get('type')) for config in configs]
    ours = [i for i, name in enumerate(types) if name.rpartition('.')[2] == 'StrictPretrained']
    if ours and (ours[0] != len(types) - 1 or 'Pretrained' in types):
        raise ValueError(
            f'init_cfg of {type(module).__name__} has the types {", ".join(types)}: '
            'StrictPretrained must be the last and the only one that loads, or what it loads is '
            'written over'
        )
