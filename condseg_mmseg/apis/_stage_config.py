"""Reads the configs of both stages, and makes the options that hand the encoder over."""

from __future__ import annotations

import contextlib
import copy
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import DefaultScope, init_default_scope
from mmseg.registry import DATASETS, MODELS

from ..configs import find_config, read_config
from ..engine import no_full_batch
from ..utils.cfg_options import path_option, read_options
from ..utils.errors import UserError
from ..utils.text import first_ten
from .train import check_imports

INIT = 'model.backbone.init_cfg'
EMPTY = 'is empty: look at its data_root, ann_file and data_prefix'
# set by the command itself; of stage 2, also by the hand-over
_RESERVED = ('work_dir', 'resume', 'launcher')
_RESERVED_2 = (
    *(*_RESERVED, 'load_from', INIT),
    *(f'{INIT}.{key}' for key in ('type', 'checkpoint', 'prefix')),
)


@dataclass
class Stage:
    """One of the two trainings.

    Args:
        number: 1 or 2.
        given: File, or name of a shipped config.
        options: ``KEY=VALUE`` texts that change it.

    Raises:
        UserError: The config cannot be read.
    """

    number: int
    given: str | Path
    options: Sequence[str] = ()

    def __post_init__(self) -> None:
        self.config = find_config(self.given)
        self.cfg = read_config(self.config, read_options(list(self.options)))

    @property
    def name(self) -> str:
        """'stage1' or 'stage2': its folder, and its key in the record."""
        return f'stage{self.number}'

    @property
    def settings(self) -> dict[str, Any]:
        """The whole config as JSON knows it, to be compared with a later one."""
        return json.loads(json.dumps(self.cfg.to_dict(), default=str, sort_keys=True))

    def check(self) -> None:
        """Refuse what would make this stage lose its checkpoints or its start.

        Raises:
            UserError: With what to change.
        """
        for option in self.options:
            key = option.partition('=')[0]
            if key in (_RESERVED if self.number == 1 else _RESERVED_2):
                raise UserError(f'--{self.name}-options {option}: this command sets {key}')
        if not isinstance(self.cfg.get('model', {}).get('backbone'), dict):
            raise UserError(f'{self.config}: has no model.backbone, the encoder to hand over')
        self._check_order()
        hook = self.cfg.get('default_hooks', {}).get('checkpoint') or {}
        if hook.get('out_dir'):
            raise UserError(
                f'{self.config}: default_hooks.checkpoint.out_dir={hook["out_dir"]} puts the '
                'checkpoints elsewhere than --work-dir: take it out'
            )
        if self.number == 2 and self.cfg.get('load_from'):
            raise UserError(
                f'{self.config}: load_from={self.cfg.load_from} would write over the encoder of '
                'stage 1: set it to None'
            )
        check_imports(self.cfg, self.config)

    def _check_order(self) -> None:
        """Refuse the config of the other stage, where it can be recognised."""
        model = self.cfg.model
        head = model.get('decode_head')
        # nothing else is trained as stage 1 is; a stage 2 is of any type
        is_stage1 = (
            _type_name(model) == 'ConsistencyReinforcement'
            and isinstance(head, dict)
            and _type_name(head) == 'EncoderFusionHead'
        )
        init = model.backbone.get('init_cfg') or []
        init = [init] if isinstance(init, dict) else init
        starts_from_stage1 = any(_type_name(item) == 'StrictPretrained' for item in init)
        if self.number == 1 and starts_from_stage1 and not is_stage1:
            raise UserError(
                f'{self.config}: its encoder starts from a stage 1 ({INIT} is StrictPretrained). '
                "Is this stage 2's? The order is STAGE1_CONFIG STAGE2_CONFIG"
            )
        if self.number == 2 and is_stage1:
            raise UserError(
                f'{self.config}: its model is that of stage 1 (ConsistencyReinforcement with '
                "EncoderFusionHead). Is this stage 1's? The order is STAGE1_CONFIG STAGE2_CONFIG"
            )


def hand_over_options(stage2: Stage, checkpoint: Path, root: Path) -> list[str]:
    """Make the options that start the encoder of stage 2 from a checkpoint of stage 1.

    ``--cfg-options`` merges dicts. An ``init_cfg`` of type ``StrictPretrained`` keeps its other
    arguments, as ``buffers=False`` of the preset ``official``. One of another type is deleted, or
    its arguments would be left over.

    Args:
        stage2: Stage 2.
        checkpoint: Absolute path.
        root: Directory that the training runs in.

    Raises:
        UserError: mmengine would change the path.
    """
    backbone = stage2.cfg.model.backbone
    current = backbone.get('init_cfg')
    options = []
    if not (isinstance(current, dict) and _type_name(current) == 'StrictPretrained'):
        # mmengine takes the key out again only where there is something to delete
        options += [f'{INIT}._delete_=True'] if 'init_cfg' in backbone else []
        options += [f'{INIT}.type=mmseg.StrictPretrained']
    options += [path_option(f'{INIT}.checkpoint', checkpoint, root), f'{INIT}.prefix=backbone.']
    # the older way to name weights: mmseg refuses it beside init_cfg. (EfficientNetLite has a flag
    # of this name, which init_cfg overrides.)
    for place, key in ((stage2.cfg.model, 'model.'), (backbone, 'model.backbone.')):
        if isinstance(place.get('pretrained'), str):
            options.append(f'{key}pretrained=None')
    return options


def check_encoders_fit(stage1: Stage, stage2: Stage) -> None:
    """Build both encoders and compare them, before hours are spent on the first.

    Args:
        stage1: Stage 1.
        stage2: Stage 2, whose encoder is built as it will be after the hand-over.

    Raises:
        UserError: One does not build, or they differ in the names or shapes of their weights.
    """
    cfg = stage2.cfg.copy()
    cfg.merge_from_dict(read_options(hand_over_options(stage2, Path('/later.pth'), Path('/'))))
    given, wanted = (
        _encoder_shapes(stage, c) for stage, c in ((stage1, stage1.cfg), (stage2, cfg))
    )
    extra = cfg.model.backbone.init_cfg.get('allow_unexpected', False)
    wrong = [
        f'{name}: {given.get(name, "missing")} in stage 1, {wanted.get(name, "missing")} in stage 2'
        for name in {**wanted, **({} if extra else given)}
        if given.get(name) != wanted.get(name)
    ]
    if wrong:
        raise UserError(
            f'the encoder of {stage1.config} does not fit that of {stage2.config}; '
            f'{len(wrong)} weights differ:{first_ten(wrong, lines=True)}'
        )


def check_data_sets(stage: Stage, processes: int = 1) -> None:
    """Build what a stage trains and validates on, with all checks of its files.

    Args:
        stage: The stage.
        processes: Processes that will train. Default 1.

    Raises:
        UserError: One does not build, is empty, or has no batch for each process; it passes on what
            the data set says.
    """
    with _scope(stage.cfg):
        for key in ('train_dataloader', 'val_dataloader'):
            loader = stage.cfg.get(key)
            if not isinstance(loader, dict) or 'dataset' not in loader:
                continue
            where = f'stage {stage.number}, {stage.config}: {key}.dataset'
            try:
                data = DATASETS.build(copy.deepcopy(loader['dataset']))
                if hasattr(data, 'full_init'):
                    data.full_init()  # where the config has lazy_init=True
                size = len(data)
            # whatever its constructor, or that of a transform, raises
            except Exception as error:
                reason = f'does not build: {type(error).__name__}: {error}'
                if 'need at least one array' in str(error):  # mmengine packs an empty list
                    reason = EMPTY
                raise UserError(f'{where} {reason}') from error
            if size == 0:
                raise UserError(f'{where} {EMPTY}')
            batch, sampler = loader.get('batch_size', 1), _type_name(loader.get('sampler', {}))
            drops = loader.get('drop_last') and 'Infinite' not in sampler
            if key == 'train_dataloader' and drops and math.ceil(size / processes) < batch:
                raise UserError(f'{where}: {no_full_batch(size, batch, processes)}')


def differences(then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """List where two settings differ, one line each: dotted key, old and new value."""
    then, now = _flat(then), _flat(now)
    return [
        f'{key}: {then.get(key, "not set")} when it was started, {now.get(key, "not set")} now'
        for key in {**then, **now}
        if then.get(key, ...) != now.get(key, ...)
    ]


def _flat(node: Any, path: str = '') -> dict[str, str]:
    if isinstance(node, dict) and (node or not path):
        return {k: v for key in node for k, v in _flat(node[key], f'{path}.{key}').items()}
    if isinstance(node, list) and any(isinstance(item, dict) for item in node):
        return {k: v for i, item in enumerate(node) for k, v in _flat(item, f'{path}.{i}').items()}
    return {path.lstrip('.'): json.dumps(node)}


def _type_name(cfg: dict) -> str:
    kind = cfg.get('type')
    return getattr(kind, '__name__', str(kind)).rpartition('.')[2]


@contextlib.contextmanager
def _scope(cfg: Config) -> Iterator[None]:
    """Build as mmengine's runner does with this config."""
    scope = cfg.get('default_scope') or 'mmseg'
    init_default_scope(scope)
    with DefaultScope.overwrite_default_scope(scope):
        yield


def _encoder_shapes(stage: Stage, cfg: Config) -> dict[str, tuple[int, ...]]:
    with _scope(cfg):
        try:
            encoder = MODELS.build(cfg.model.backbone)
        # whatever its constructor raises
        except Exception as error:
            raise UserError(
                f'{stage.config}: its encoder does not build: {type(error).__name__}: {error}'
            ) from error
    return {name: tuple(value.shape) for name, value in encoder.state_dict().items()}
