"""The data sets of a config, found without reading their files: that would stop at errors."""

from __future__ import annotations

import os.path as osp
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmengine.registry import init_default_scope
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from condseg_mmseg.configs import read_config
from condseg_mmseg.utils.errors import UserError
from condseg_mmseg.utils.findings import Findings

from .masks import MaskRule
from .sources import Resolver, Split, read_list

_Key = tuple[str, tuple[str, str | None, str | None, str | None], int | tuple[int, ...] | None]


def from_config(
    path: Path, name: str, options: Mapping[str, Any] | None, findings: Findings
) -> list[Split]:
    """Read the splits that the dataloaders of a config name.

    Args:
        path: The config.
        name: Its name in the report.
        options: Dotted key -> value, which change it, or None.
        findings: Gets what is wrong.

    Returns:
        The splits; one that validation and test share is there once, as ``val+test``.

    Raises:
        UserError: The config cannot be read or has no dataloader with a data set.
    """
    config = read_config(path, options)
    init_default_scope(config.get('default_scope') or 'mmseg')
    wanted: dict[_Key, list[tuple[str, BaseSegDataset, Sequence]]] = {}
    skipped = False
    for role in ('train', 'val', 'test'):
        loader = config.get(f'{role}_dataloader') or {}
        for settings in _leaves(loader['dataset'], ()) if 'dataset' in loader else ():
            dataset = _built(settings, path)
            if dataset is None:
                skipped = True
                kind = settings['type']
                detail = f'{getattr(kind, "__name__", kind)} is no BaseSegDataset'
                findings.add('skipped', detail, [str(path)], [f'{name}/{role}'])
            else:
                wanted.setdefault(_key(dataset), []).append((role, dataset, settings['pipeline']))
    if not wanted and not skipped:
        raise UserError(f'{path}: none of its dataloaders (train, val, test) has a dataset')
    resolvers: dict[tuple, Resolver] = {}
    splits: list[Split] = []
    for (ann_file, place, indices), uses in wanted.items():
        roles = list(dict.fromkeys(role for role, _, _ in uses))
        label = '+'.join(roles)
        taken = sum(split.name.partition('[')[0] == label for split in splits)
        split = Split(
            name, f'{label}[{taken}]' if taken else label, roles[0], ann_file or place[0],
            _rule(*uses[0][1:]),
        )  # fmt: skip
        names = [split.full_name]
        if len(roles) > 1 and 'train' in roles:
            detail = f'training and {" and ".join(roles[1:])} are the same images'
            findings.add('leakage', detail, [split.source], names)
        elif len(roles) > 1:
            findings.add('same-list', 'the same images', [split.source], names)
        if place not in resolvers:
            resolvers[place] = Resolver(*place, findings)
        resolver = resolvers[place]
        stems = resolver.all_names()
        if ann_file and not osp.isdir(ann_file):
            stems = read_list(Path(ann_file), findings, split.full_name)
        elif not stems and resolver.images is not None:
            findings.add('list', 'holds no image', [place[0]], names)
        split.pairs = resolver.pairs(_taken(stems, indices), split.full_name)
        splits.append(split)
    for resolver in resolvers.values():
        resolver.unnamed(name, listed=True)
    return splits


def _taken(names: list[str], indices: int | Sequence[int] | None) -> list[str]:
    """Return what mmengine keeps for ``indices``: so many from either end, or these."""
    if indices is None:
        return names
    if isinstance(indices, int):
        return names[:indices] if indices >= 0 else names[indices:]
    return [names[i] for i in indices if -len(names) <= i < len(names)]


def _leaves(settings: Mapping, pipeline: Sequence) -> Iterator[dict]:
    """Walk through wrappers such as ``RepeatDataset`` and ``ConcatDataset``."""
    if 'datasets' in settings or 'dataset' in settings:
        inner = settings.get('datasets') or [settings['dataset']]
        for part in inner:
            yield from _leaves(part, part.get('pipeline') or settings.get('pipeline') or pipeline)
    else:
        yield dict(settings) | dict(pipeline=settings.get('pipeline') or pipeline)


def _built(settings: Mapping, path: Path) -> BaseSegDataset | None:
    """Make the data set without reading its files; None if it is none of mmseg's."""
    kind = settings['type']
    found = DATASETS.get(kind) if isinstance(kind, str) else kind
    if found is None:
        raise UserError(
            f'{path}: the data set type {kind!r} is not registered; check custom_imports'
        )
    if not issubclass(found, BaseSegDataset):
        return None
    settings = {**settings, 'type': found, 'pipeline': [], 'lazy_init': True}
    try:
        return DATASETS.build(settings)
    except Exception as error:  # any class may be called with wrong arguments
        raise UserError(f'{path}: {found.__name__} cannot be built: {error}') from error


def _key(dataset: BaseSegDataset) -> _Key:
    """Return what decides which files a data set has."""
    folders = [dataset.data_prefix.get(key) for key in ('img_path', 'seg_map_path')]
    images, masks = (None if folder is None else osp.normpath(folder) for folder in folders)
    indices = dataset._indices
    return (
        osp.normpath(dataset.ann_file) if dataset.ann_file else '',
        (images or '.', masks, dataset.img_suffix, dataset.seg_map_suffix),
        tuple(indices) if isinstance(indices, Sequence) else indices,
    )


def _transforms(pipeline: Any) -> Iterator[Mapping]:
    """Walk through a pipeline and the lists in it (``TestTimeAug``, ``RandomChoice``)."""
    if isinstance(pipeline, Mapping):
        yield pipeline
        pipeline = pipeline.get('transforms', ())
    if isinstance(pipeline, Sequence) and not isinstance(pipeline, str):
        for part in pipeline:
            yield from _transforms(part)


def _rule(dataset: BaseSegDataset, pipeline: Sequence) -> MaskRule:
    """Return how a pipeline reads masks."""
    steps: dict[str, Mapping] = {}
    for step in _transforms(pipeline):
        name = step.get('type')
        steps.setdefault(name if isinstance(name, str) else getattr(name, '__name__', ''), step)
    load = steps.get('LoadBinaryMask') or steps.get('LoadAnnotations') or {}
    rule = MaskRule(backend=load.get('imdecode_backend', 'pillow'), origin='config')
    # the second is the former name of the first
    for transform, mode in (('LoadBinaryMask', 'auto'), ('BinarizeMask', 'threshold')):
        if transform in steps:
            cut = steps[transform]
            threshold = cut.get('threshold')
            return replace(
                rule,
                mode=cut.get('mode', mode),
                threshold=127 if threshold is None else threshold,
                ignore_index=cut.get('ignore_index'),
            )
    if 'LoadSoftMask' in steps or 'SoftMask' in steps:
        return replace(rule, mode='auto')
    if 'LoadAnnotations' not in steps:  # nothing says how masks are read
        return MaskRule()
    classes, zero = dataset.metainfo.get('classes'), bool(dataset.reduce_zero_label)
    number = len(classes) if classes else None
    return replace(rule, mode='labels', num_classes=number, reduce_zero_label=zero)
