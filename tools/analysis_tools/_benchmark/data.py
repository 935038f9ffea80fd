"""How many images a second the pipeline of a config delivers, and whether training waits for it."""

from __future__ import annotations

import argparse
import copy
import statistics
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmengine.utils.dl_utils import set_multi_processing
from mmseg.registry import DATASETS

from condseg_mmseg.datasets.cache import CacheTransforms, why_random

SUMMARY = 'images a second of the training pipeline, and the time that training waits for them'
CONFIG = 'configs/condseg/condseg_r50_1xb12-300e_kvasir-seg-256x256.py'
WAIT = 0.05  # share of its time that training may wait for data
_ROOT = Path(__file__).resolve().parents[3]


def _count(least: int) -> Any:
    def read(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f'must be {least} or more, got {text}')
        return value

    return read


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this benchmark."""
    parser.add_argument(
        '--config', type=Path, default=_ROOT / CONFIG, metavar='FILE', help='of the training'
    )
    parser.add_argument(
        '--data-root', type=Path, metavar='DIR',
        help='folder of the data set, in place of that in the config',
    )  # fmt: skip
    parser.add_argument(
        '--workers', type=_count(0), nargs='+', default=[0, 2], metavar='N',
        help='numbers of worker processes of the DataLoader; training runs with the last one',
    )  # fmt: skip
    parser.add_argument(
        '--images', type=_count(1), metavar='N', help='use the first N images only (default: all)'
    )
    parser.add_argument(
        '--epochs', type=_count(2), default=4, help='epochs of each DataLoader, 2 or more'
    )
    parser.add_argument(
        '--iterations', type=_count(0), default=6,
        help='timed steps of a training; 0 leaves the training out',
    )  # fmt: skip
    parser.add_argument(
        '--skip', type=_count(1), default=2, help='steps of the training before them'
    )


def run(args: argparse.Namespace) -> dict:
    """Measure one process, DataLoaders, and a training.

    Args:
        args: What :func:`add_arguments` adds.

    Returns:
        ``config``, ``images``, ``batch``; ``process`` (:func:`one_process`); ``loaders``, one a
        number of workers and variant (:func:`loader_speed`), with ``needed``: the images a second
        of a training that would wait for :data:`WAIT` of its time; ``training``
        (:func:`training_wait`), or None.

    Raises:
        ValueError: The config cannot be read, its files are missing, or there are too few images
            for a batch.
    """
    cfg = _config(args)
    env = cfg.get('env_cfg', {}).get('mp_cfg', {})
    with DefaultScope.overwrite_default_scope('mmseg'):
        set_multi_processing(**env)  # as the Runner does, before any worker starts
        plain = _plain_dataset(cfg)
        batch = cfg.train_dataloader.batch_size
        if len(plain) < batch:
            raise ValueError(f'--images must be {batch} or more, one batch, got {len(plain)}')
        record = {
            'config': Path(args.config).name,
            'images': len(plain),
            'batch': batch,
            'process': one_process(cfg),
            'loaders': [
                loader_speed(cfg, workers, cached, args.epochs)
                for workers in args.workers
                for cached in (False, True)
            ],
        }
        training = None
        if args.iterations:
            training = training_wait(cfg, args.workers[-1], args.iterations, args.skip)
    return record | {'training': training}


def _config(args: argparse.Namespace) -> Config:
    if not Path(args.config).is_file():
        raise ValueError(f'--config {args.config} does not exist')
    cfg = Config.fromfile(args.config)
    if 'train_dataloader' not in cfg:
        raise ValueError(f'--config {args.config} has no train_dataloader')
    if 'Infinite' in cfg.train_dataloader.get('sampler', {}).get('type', ''):
        raise ValueError(
            f'--config {args.config} draws samples without end (InfiniteSampler), so that no epoch '
            "can be timed: give one with sampler=dict(type='DefaultSampler', shuffle=True)"
        )
    dataset = cfg.train_dataloader.dataset
    if args.data_root is not None:
        if not args.data_root.is_dir():
            raise ValueError(f'--data-root {args.data_root} is no folder')
        dataset.data_root = str(args.data_root)
    if args.images is not None:
        dataset.indices = args.images
    return cfg


def _plain_dataset(cfg: Config) -> Any:
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    dataset.full_init()
    return dataset


def with_cache(cfg: Config) -> dict:
    """Make the config of the train loader with its deterministic head in a ``CacheTransforms``."""
    loader = copy.deepcopy(cfg.train_dataloader.to_dict())
    built = _plain_dataset(cfg).pipeline.transforms
    head = 0
    for transform in built:
        if why_random(transform) or type(transform).__name__.startswith('Pack'):
            break
        head += 1
    steps = loader['dataset']['pipeline']
    cached = dict(type='CacheTransforms', transforms=steps[:head])
    loader['dataset']['pipeline'] = [cached, *steps[head:]]
    return loader


def one_process(cfg: Config) -> dict:
    """Run every image through the pipeline twice in this process, then with the cache.

    Returns:
        ``images_per_second`` of the second time; ``steps``: name and milliseconds an image of each
        transform, ``first`` and ``later`` (the first time a mask's histogram is looked at, and
        files may come from the disk); ``cached_images_per_second`` of the second time with the
        cache, and its ``cache_mib``.
    """
    dataset = _plain_dataset(cfg)
    first, _ = _steps(dataset)
    later, seconds = _steps(dataset)
    cached = DATASETS.build(with_cache(cfg)['dataset'])
    _steps(cached)
    _, cached_seconds = _steps(cached)
    names = [type(step).__name__ for step in dataset.pipeline.transforms]
    return {
        'images_per_second': len(dataset) / seconds,
        'steps': [
            {'name': name, 'first': a, 'later': b}
            for name, a, b in zip(names, first, later, strict=True)
        ],
        'cached_images_per_second': len(dataset) / cached_seconds,
        'cache_mib': next(
            step.nbytes / 2**20
            for step in cached.pipeline.transforms
            if isinstance(step, CacheTransforms)
        ),
    }


def _steps(dataset: Any) -> tuple[list[float], float]:
    """Returns milliseconds an image of each transform, and the seconds of the whole epoch."""
    steps = dataset.pipeline.transforms
    spent = [0.0] * len(steps)
    begin = time.perf_counter()
    for index in range(len(dataset)):
        results = dataset.get_data_info(index)
        for number, step in enumerate(steps):
            start = time.perf_counter()
            results = step(results)
            spent[number] += time.perf_counter() - start
    seconds = time.perf_counter() - begin
    return [1e3 * value / len(dataset) for value in spent], seconds


def loader_speed(cfg: Config, workers: int, cached: bool, epochs: int) -> dict:
    """Time epochs of the train loader, built as mmengine's Runner builds it, and nothing else.

    Returns:
        ``workers``, ``cached``, ``epochs``: images a second of each; ``first``: that of the first
        (workers start, files come from the disk, the cache is empty); ``later``: the median of the
        second half of the epochs, at which the cache of several workers has come to hold most
        samples; ``needed``: ``later`` / (1 - :data:`WAIT`).
    """
    loader_cfg = with_cache(cfg) if cached else copy.deepcopy(cfg.train_dataloader.to_dict())
    loader_cfg.update(num_workers=workers, persistent_workers=workers > 0)
    loader = Runner.build_dataloader(loader_cfg, seed=0)
    speeds = []
    for epoch in range(epochs):
        loader.sampler.set_epoch(epoch)
        start = time.perf_counter()
        images = sum(len(data['inputs']) for data in loader)
        speeds.append(images / (time.perf_counter() - start))
    later = statistics.median(speeds[(epochs + 1) // 2 :])
    return {
        'workers': workers,
        'cached': cached,
        'epochs': speeds,
        'first': speeds[0],
        'later': later,
        'needed': needed(later),
    }


def needed(speed: float) -> float:
    """Speed of a training that waits for :data:`WAIT` of its time if it is fed ``speed``.

    Training that would run at T images a second runs at ``speed`` where that is less, and then
    waits for a share of 1 - speed / T.

    Args:
        speed: Images a second that the loader delivers.

    Returns:
        float: Images a second.
    """
    return speed / (1 - WAIT)


def training_wait(cfg: Config, workers: int, iterations: int, skip: int) -> dict:
    """Train with mmengine's Runner as the config says, and read the times that it logs.

    Only what would end or disturb a few steps is taken out: pretrained weights, validation,
    checkpoints, schedules and hooks of the config's own. Where the data set has too few batches,
    there are several epochs, and what happens between them counts.

    Returns:
        ``workers``, ``iterations``, ``seconds`` and ``data_seconds`` (medians of one step),
        ``share``: the share of all their time that the steps waited for data, and
        ``images_per_second``.
    """
    cfg = copy.deepcopy(cfg)
    loader = cfg.train_dataloader
    loader.update(num_workers=workers, persistent_workers=workers > 0)
    batches = len(_plain_dataset(cfg)) // loader.batch_size
    steps = iterations + skip
    loader.num_batch_per_epoch = min(steps, batches)
    epochs = -(-steps // loader.num_batch_per_epoch)
    with tempfile.TemporaryDirectory() as folder:
        runner = Runner(
            model=_without_weights(cfg.model.to_dict()),
            work_dir=folder,
            train_dataloader=loader,
            train_cfg=dict(type='EpochBasedTrainLoop', max_epochs=epochs, val_interval=epochs + 1),
            optim_wrapper=cfg.optim_wrapper,
            default_hooks=dict(checkpoint=None, logger=dict(type='LoggerHook', interval=10**9)),
            visualizer=dict(type='Visualizer', vis_backends=[], name=f'data_{time.time_ns()}'),
            env_cfg=cfg.get('env_cfg', {}),
            randomness=dict(seed=0),
            log_level='WARNING',
            default_scope='mmseg',
            experiment_name=f'benchmark_data_{time.time_ns()}',
        )
        runner.train()
    hub = runner.message_hub
    times, waits = (
        hub.get_scalar(f'train/{name}').data[0][skip:steps].tolist()
        for name in ('time', 'data_time')
    )
    return {
        'workers': workers,
        'iterations': len(times),
        'seconds': statistics.median(times),
        'data_seconds': statistics.median(waits),
        'share': sum(waits) / sum(times),
        'images_per_second': loader.batch_size * len(times) / sum(times),
        'threads': torch.get_num_threads(),
    }


def _without_weights(node: Any) -> Any:
    """Copy a model's config without what would be read from a file or the internet."""
    if isinstance(node, dict):
        return {k: None if k == 'init_cfg' else _without_weights(v) for k, v in node.items()}
    if isinstance(node, (list, tuple)):
        return type(node)(map(_without_weights, node))
    return node


def table(record: dict) -> str:
    """Make the Markdown tables of what :func:`run` returns."""
    process, training = record['process'], record['training']
    total = [sum(step[key] for step in process['steps']) for key in ('first', 'later')]
    lines = [
        f'One process, {record["images"]} images, milliseconds an image:',
        '',
        *_rows(
            ('transform', 'first epoch', 'later'),
            [(s['name'], f'{s["first"]:.2f}', f'{s["later"]:.2f}') for s in process['steps']]
            + [('all', f'{total[0]:.2f}', f'{total[1]:.2f}')],
        ),
        '',
        f'{process["images_per_second"]:.0f} images/s; '
        f'{process["cached_images_per_second"]:.0f} images/s with CacheTransforms, which keeps '
        f'{process["cache_mib"]:.0f} MiB.',
        '',
        f'DataLoader, batch {record["batch"]}, images/s. It keeps waiting below '
        f'{WAIT:.0%} for a training of up to the speed in the last column:',
        '',
        *_rows(
            ('workers', 'cache', 'first epoch', 'later', 'training up to'),
            [
                (
                    row['workers'],
                    'yes' if row['cached'] else 'no',
                    *(f'{row[key]:.0f}' for key in ('first', 'later', 'needed')),
                )
                for row in record['loaders']
            ],
        ),
    ]
    if training is not None:
        lines += [
            '',
            f'Training ({record["config"]}, {training["workers"]} workers, '
            f'{training["threads"]} threads, {training["iterations"]} steps): '
            f'{training["seconds"]:.2f} s a step, of which {1e3 * training["data_seconds"]:.1f} ms '
            f'waiting for data (medians); {training["share"]:.2%} of the time in all, at '
            f'{training["images_per_second"]:.1f} images/s.',
        ]
    return '\n'.join(lines)


def _rows(head: Iterable[str], rows: Iterable[Iterable]) -> list[str]:
    head = list(head)
    body = ['| ' + ' | '.join(map(str, row)) + ' |' for row in rows]
    return ['| ' + ' | '.join(head) + ' |', '|' + '---|' * len(head), *body]
