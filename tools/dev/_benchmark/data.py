"""How many images a second the pipeline of a config delivers, and whether training waits for it."""

from __future__ import annotations

import argparse
import copy
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from dev_common import ROOT
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmengine.utils.dl_utils import set_multi_processing
from mmseg.registry import DATASETS

from condseg_mmseg.configs import read_config
from condseg_mmseg.utils.errors import UserError
from condseg_mmseg.utils.tables import number, table

from .core import at_least, positive
from .network import CONFIG

SUMMARY = 'images a second of the training pipeline, and the time that training waits for them'
WAIT = 0.05  # share of its time that training may wait for data


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this benchmark."""
    add = parser.add_argument
    add('--config', type=Path, default=ROOT / CONFIG, metavar='FILE', help='of the training')
    add('--data-root', type=Path, metavar='DIR', help='of the data set, in place of the config')
    add('--workers', type=int, nargs='+', default=[0, 2], help='of each DataLoader, and at last of '
        'the training')  # fmt: skip
    add('--images', type=positive, metavar='N', help='use the first N images only')
    add('--epochs', type=partial(at_least, 2), default=4, help='of each DataLoader, 2 or more')
    add('--iterations', type=int, default=6, help='timed steps of a training; 0: none')
    add('--skip', type=positive, default=2, help='steps of the training before them')


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure one process, a DataLoader for each number of workers, and a training."""
    cfg = read_config(args.config)
    if 'train_dataloader' not in cfg:
        raise UserError(f'--config {args.config} has no train_dataloader')
    if args.data_root is not None:
        cfg.train_dataloader.dataset.data_root = str(args.data_root)
    if args.images is not None:
        cfg.train_dataloader.dataset.indices = args.images
    with DefaultScope.overwrite_default_scope('mmseg'):
        # as the Runner does, before any worker starts
        set_multi_processing(**cfg.get('env_cfg', {}).get('mp_cfg', {}))
        batch = cfg.train_dataloader.batch_size
        dataset = DATASETS.build(cfg.train_dataloader.dataset)
        if len(dataset) < batch:
            raise UserError(f'--images must be {batch} or more, one batch, got {len(dataset)}')
        record = {'config': Path(args.config).name, 'images': len(dataset), 'batch': batch}
        record['process'] = one_process(dataset)
        record['loaders'] = [loader_speed(cfg, workers, args.epochs) for workers in args.workers]
        record['training'] = None
        if args.iterations:
            record['training'] = training_wait(cfg, args, len(dataset) // batch)
        return record


def one_process(dataset: Any) -> dict[str, Any]:
    """Run every image through the pipeline twice in this process.

    Returns:
        ``images_per_second`` of the second time; ``steps``: name and milliseconds an image of each
        transform, ``first`` and ``later`` (the first time files may come from the disk).
    """
    transforms = dataset.pipeline.transforms
    steps: list[dict[str, Any]] = [
        {'name': type(step).__name__, 'first': 0.0, 'later': 0.0} for step in transforms
    ]
    for epoch in ('first', 'later'):
        begin = time.perf_counter()
        for index in range(len(dataset)):
            results = dataset.get_data_info(index)
            for transform, row in zip(transforms, steps, strict=True):
                start = time.perf_counter()
                results = transform(results)
                row[epoch] += 1e3 * (time.perf_counter() - start) / len(dataset)
        seconds = time.perf_counter() - begin
    return {'images_per_second': len(dataset) / seconds, 'steps': steps}


def loader_speed(cfg: Config, workers: int, epochs: int) -> dict[str, Any]:
    """Time epochs of the train loader, built as mmengine's Runner builds it, and nothing else.

    Returns:
        ``workers``, ``epochs``: images a second of each; ``first``: that of the first (workers
        start, files come from the disk); ``later``: the median of the second half of the epochs;
        ``needed``: the speed of a training that waits for :data:`WAIT` of its time.
    """
    loader_cfg = copy.deepcopy(cfg.train_dataloader.to_dict())
    loader_cfg.update(num_workers=workers, persistent_workers=workers > 0)
    loader = Runner.build_dataloader(loader_cfg, seed=0)
    speeds = []
    for epoch in range(epochs):
        loader.sampler.set_epoch(epoch)
        start = time.perf_counter()
        images = sum(len(data['inputs']) for data in loader)
        speeds.append(images / (time.perf_counter() - start))
    later = statistics.median(speeds[(epochs + 1) // 2 :])
    # a training that alone would run at T images a second, and is fed at S < T, waits 1 - S / T
    needed = later / (1 - WAIT)
    return dict(workers=workers, epochs=speeds, first=speeds[0], later=later, needed=needed)


def training_wait(cfg: Config, args: argparse.Namespace, batches: int) -> dict[str, Any]:
    """Train with mmengine's Runner as the config says, and read the times that it logs.

    Only what would end or disturb a few steps is taken out: pretrained weights, validation,
    checkpoints, schedules and hooks of the config's own. Where the data set has too few batches,
    there are several epochs, and what happens between them counts.

    Returns:
        ``workers``, ``threads``, ``iterations``, ``seconds`` and ``data_seconds`` (medians of one
        step), ``share``: the share of all their time that the steps waited for data, and
        ``images_per_second``.
    """
    loader, workers = copy.deepcopy(cfg.train_dataloader), args.workers[-1]
    loader.update(num_workers=workers, persistent_workers=workers > 0)
    total = args.iterations + args.skip
    loader.num_batch_per_epoch = min(total, batches)
    epochs = -(-total // loader.num_batch_per_epoch)
    unique = f'benchmark_data_{time.time_ns()}'
    with tempfile.TemporaryDirectory() as folder:
        runner = Runner(
            model=_without_weights(cfg.model.to_dict()), work_dir=folder, train_dataloader=loader,
            train_cfg=dict(type='EpochBasedTrainLoop', max_epochs=epochs, val_interval=epochs + 1),
            optim_wrapper=cfg.optim_wrapper, env_cfg=cfg.get('env_cfg', {}), log_level='WARNING',
            default_hooks=dict(checkpoint=None, logger=dict(type='LoggerHook', interval=10**9)),
            visualizer=dict(type='Visualizer', vis_backends=[], name=unique),
            randomness=dict(seed=0), default_scope='mmseg', experiment_name=unique,
        )  # fmt: skip
        runner.train()
    times, waits = (
        runner.message_hub.get_scalar(f'train/{name}').data[0][args.skip : total].tolist()
        for name in ('time', 'data_time')
    )
    return dict(
        workers=workers, iterations=len(times), seconds=statistics.median(times),
        data_seconds=statistics.median(waits), share=sum(waits) / sum(times),
        images_per_second=loader.batch_size * len(times) / sum(times),
        threads=torch.get_num_threads(),
    )  # fmt: skip


def _without_weights(node: Any) -> Any:
    """Copy a model's config without what would be read from a file or the internet."""
    if isinstance(node, dict):
        return {k: None if k == 'init_cfg' else _without_weights(v) for k, v in node.items()}
    return list(map(_without_weights, node)) if isinstance(node, (list, tuple)) else node


def data_table(record: dict[str, Any]) -> str:
    """Make the Markdown tables of what :func:`run` returns."""
    process, training = record['process'], record['training']
    sums = {key: sum(step[key] for step in process['steps']) for key in ('first', 'later')}
    rows = [*process['steps'], {'name': 'all', **sums}]
    cells = [(row['name'], number(row['first']), number(row['later'])) for row in rows]
    loaders = [
        (str(row['workers']), *(number(row[k], 0) for k in ('first', 'later', 'needed')))
        for row in record['loaders']
    ]
    parts = [
        f'One process, {record["images"]} images, milliseconds an image:',
        table(('transform', 'first epoch', 'later'), cells),
        f'{process["images_per_second"]:.0f} images/s.',
        f'DataLoader, batch {record["batch"]}, images/s. It keeps waiting below {WAIT:.0%} for a '
        'training of up to the speed in the last column:',
        table(('workers', 'first epoch', 'later', 'training up to'), loaders),
    ]
    if training is not None:
        parts.append(
            f'Training ({record["config"]}, {training["workers"]} workers, '
            f'{training["threads"]} threads, {training["iterations"]} steps): '
            f'{training["seconds"]:.2f} s a step, of which {1e3 * training["data_seconds"]:.1f} ms '
            f'waiting for data (medians); {training["share"]:.2%} of the time in all, at '
            f'{training["images_per_second"]:.1f} images/s.'
        )
    return '\n\n'.join(parts)
