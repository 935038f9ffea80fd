"""Checks of an ablation's labels, configs and data sets, before anything is trained."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config
from summarize_runs import build_model


def slug(label: str) -> str:
    """Name of a label's folder."""
    return re.sub(r'[^A-Za-z0-9._+-]+', '-', label).strip('-.')


def parse_pairs(items: Sequence[str], what: str) -> dict[str, str]:
    """Read LABEL=CONFIG arguments.

    Raises:
        ValueError: One has no ``=``, no such file, or the label of another.
    """
    found: dict[str, str] = {}
    folders: dict[str, str] = {}
    for item in items:
        label, separator, path = item.partition('=')
        label = label.strip()
        if not separator or not slug(label):
            raise ValueError(f'{what}{item}: expected LABEL=CONFIG')
        if not Path(path).is_file():
            raise ValueError(f'{what}{item}: there is no file {path}')
        other = folders.setdefault(slug(label).lower(), label)
        if label in found or other != label:
            raise ValueError(
                f'{what}{item}: the label {other!r} has the same folder; choose another'
            )
        found[label] = path
    return found


def load(path: str, options: dict | None) -> Config:
    """Load a config and apply the options.

    Raises:
        ValueError: It does not load, or an option does not fit.
    """
    try:
        config = Config.fromfile(path)
    except Exception as error:
        raise ValueError(f'{path} does not load: {type(error).__name__}: {error}') from error
    try:
        config.merge_from_dict(copy.deepcopy(options or {}))
    except Exception as error:
        raise ValueError(f'--cfg-options does not fit {path}: {error}') from error
    return config


EPOCH_LOOPS = ('NonEmptyEpochTrainLoop', 'EpochBasedTrainLoop')


class Checker:
    """Builds what a config describes, so that its errors come before the first run."""

    def __init__(self) -> None:
        self.lengths: dict[str, int] = {}  # of data sets, by what they are built from

    def __call__(self, path: str, config: Config) -> tuple[float, int, dict]:
        """Check one config.

        Args:
            path: Its name in error messages.
            config: The config with all options.

        Returns:
            Millions of parameters, iterations of an epoch, shapes of the encoder's weights.

        Raises:
            ValueError: A part is missing or does not build.
        """
        if not isinstance(config.get('model'), dict):
            raise ValueError(f'{path}: it has no model')
        try:
            model = build_model(config)
        except Exception as error:
            raise ValueError(f'{path}: its model does not build: {error}') from error
        train = config.get('train_cfg') or {}
        if train.get('type') not in EPOCH_LOOPS and train.get('by_epoch') is not True:
            raise ValueError(f'{path}: train_cfg must count epochs ({" or ".join(EPOCH_LOOPS)})')
        self._check_metric(path, config.get('val_evaluator'))
        lengths = [self._length(path, config, name) for name in ('train', 'val')]
        loader = config.train_dataloader
        batch = loader.get('batch_size') or lengths[0]
        steps = lengths[0] // batch if loader.get('drop_last') else -(-lengths[0] // batch)
        if not steps:
            raise ValueError(
                f'{path}: {lengths[0]} training images make no batch of {batch} (drop_last)'
            )
        parameters = sum(p.numel() for p in model.parameters()) / 1e6
        encoder = {key: tuple(v.shape) for key, v in model.backbone.state_dict().items()}
        return round(parameters, 2), steps, encoder

    @staticmethod
    def _check_metric(path: str, evaluators: object) -> None:
        from mmseg.registry import METRICS

        from condseg_mmseg.evaluation import PerImageBinaryMetric

        for item in evaluators if isinstance(evaluators, (list, tuple)) else [evaluators]:
            kind = (item or {}).get('type')
            kind = METRICS.get(kind) if isinstance(kind, str) else kind
            scores = isinstance(kind, type) and issubclass(kind, PerImageBinaryMetric)
            if scores and item.get('prefix') in (None, 'image'):
                return
        raise ValueError(
            f'{path}: val_evaluator has no PerImageBinaryMetric, which gives image/mIoU'
        )

    def _length(self, path: str, config: Config, name: str) -> int:
        from mmseg.registry import DATASETS

        loader = config.get(f'{name}_dataloader')
        if not loader:
            raise ValueError(f'{path}: it has no {name}_dataloader')
        key = repr(loader.dataset)
        if key not in self.lengths:
            try:
                self.lengths[key] = len(DATASETS.build(copy.deepcopy(loader.dataset)))
            except Exception as error:
                raise ValueError(
                    f'{path}: the data set of {name}_dataloader does not build: {error}'
                ) from error
        return self.lengths[key]


def check_start(label: str, path: str, config: Config) -> None:
    """Refuse a second stage whose first one is neither named nor trained."""
    given = config.model.backbone.get('init_cfg')
    if not isinstance(given, dict) or given.get('type') != 'StrictPretrained':
        return
    start = str(given.get('checkpoint', ''))
    if not start.startswith(('http://', 'https://')) and not (start and Path(start).exists()):
        raise ValueError(
            f'{label}={path}: it starts from {start or "a checkpoint"}, which is not there; name '
            f'the config of its first stage with --stage1 {label}=CONFIG'
        )
