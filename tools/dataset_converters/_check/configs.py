"""The data sets of a config, read from it without building them: that would stop at errors."""

from __future__ import annotations

import inspect
import os.path as osp
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from condseg_mmseg.datasets import BinaryMedicalDataset

from .findings import Findings
from .masks import MaskRule
from .sources import Resolver, Split, read_list

ROOT = Path(__file__).resolve().parents[3]
ROLES = ('train', 'val', 'test')


def from_config(path: Path, name: str, options: dict | None, findings: Findings) -> list[Split]:
    """Read the splits that the dataloaders of a config name.

    Args:
        path: The config.
        name: Name of the data set in the report.
        options: Of ``--cfg-options``; None: none.
        findings: Where problems go.

    Returns:
        The splits; one that validation and test share is there once, as ``val+test``.

    Raises:
        ValueError: If the config cannot be read or has no dataloader with a data set.
    """
    try:
        config = Config.fromfile(str(path))
        if options:
            config.merge_from_dict(options)
    except Exception as error:  # a config is a program and may raise anything
        raise ValueError(f'{path} cannot be read as a config: {error}') from error
    init_default_scope(config.get('default_scope') or 'mmseg')
    loaders = {role: config.get(f'{role}_dataloader') for role in ROLES}
    wanted: dict[tuple, list[tuple[str, dict]]] = {}
    for role, loader in loaders.items():
        if not loader or 'dataset' not in loader:
            continue
        for settings in _leaves(loader['dataset'], loader['dataset'].get('pipeline', ())):
            wanted.setdefault(_files(settings), []).append((role, settings))
    if not wanted:
        raise ValueError(f'{path}: none of its dataloaders (train, val, test) has a dataset')
    resolvers: dict[tuple, Resolver] = {}
    splits: list[Split] = []
    for (kind, root, ann_file, folders, suffixes, indices), uses in wanted.items():
        roles = list(dict.fromkeys(role for role, _ in uses))
        label = '+'.join(roles)
        taken = sum(split.name.partition('[')[0] == label for split in splits)
        label = f'{label}[{taken}]' if taken else label
        full_name = f'{name}/{label}'
        if not issubclass(kind, BaseSegDataset):
            detail = f'{kind.__name__} is no BaseSegDataset'
            findings.add('skipped', detail, [str(path)], [full_name])
            continue
        if len(roles) > 1 and 'train' in roles:
            detail = f'training and {" and ".join(roles[1:])} are the same images'
            findings.add('leakage', detail, [ann_file or folders[0]], [full_name])
        elif len(roles) > 1:
            findings.add('same-list', 'the same images', [ann_file or folders[0]], [full_name])
        key = (folders, suffixes)
        if key not in resolvers:
            resolvers[key] = Resolver(*folders, *suffixes, findings)
        resolver = resolvers[key]
        names = resolver.all_names()
        listed = bool(ann_file) and not osp.isdir(ann_file)
        if listed:
            names = read_list(Path(ann_file), findings, full_name)
        elif not names and resolver.images is not None:
            findings.add('list', 'holds no image', [folders[0]], [full_name])
        if indices is not None:
            names = _taken(names, indices)
        rule = _rule(kind, uses[0][1])
        split = Split(name, label, roles[0], ann_file or folders[0] or root, rule)
        split.pairs = resolver.pairs(names, full_name)
        splits.append(split)
    for resolver in resolvers.values():
        resolver.unnamed(name, listed=True)
    return splits


def _taken(names: list[str], indices: int | Sequence[int]) -> list[str]:
    """Return what mmengine keeps for ``indices``: so many from either end, or these."""
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


def _class(settings: Mapping) -> type:
    kind = settings['type']
    found = DATASETS.get(kind) if isinstance(kind, str) else kind
    if found is None:
        raise ValueError(f'the data set type {kind!r} is not registered; check custom_imports')
    return found


def _argument(kind: type, settings: Mapping, key: str):
    """Return a constructor argument, or its default in the class or the next one above."""
    if key in settings:
        return settings[key]
    for base in kind.__mro__:
        parameter = inspect.signature(base.__init__).parameters.get(key)
        if parameter is not None:
            return None if parameter.default is parameter.empty else parameter.default
    return None


def _files(settings: Mapping) -> tuple:
    """Return what decides which files a data set has, as a key."""
    kind = _class(settings)
    root = str(settings.get('data_root') or '')
    # Training runs in the repository; the doctor may be called from anywhere.
    if root and not osp.isabs(root) and not osp.exists(root) and (ROOT / root).exists():
        root = str(ROOT / root)

    def join(path: str | None) -> str | None:
        return path if path is None else osp.normpath(osp.join(root, path))

    prefix = _argument(kind, settings, 'data_prefix') or {}
    if issubclass(kind, BinaryMedicalDataset) and not prefix:
        prefix = dict(img_path='images', seg_map_path='masks')
    folders = (join(prefix.get('img_path') or ''), join(prefix.get('seg_map_path')))
    ann_file = _argument(kind, settings, 'ann_file') or ''
    indices = settings.get('indices')
    indices = tuple(indices) if isinstance(indices, Sequence) else indices
    suffixes = tuple(_argument(kind, settings, f'{key}_suffix') for key in ('img', 'seg_map'))
    return kind, root, join(ann_file) if ann_file else '', folders, suffixes, indices


def _transforms(pipeline) -> Iterator[Mapping]:
    """Walk through a pipeline and the lists in it (``TestTimeAug``, ``RandomChoice``)."""
    if isinstance(pipeline, Mapping):
        yield pipeline
        pipeline = pipeline.get('transforms', ())
    if isinstance(pipeline, Sequence) and not isinstance(pipeline, str):
        for part in pipeline:
            yield from _transforms(part)


def _rule(kind: type, settings: Mapping) -> MaskRule:
    """Return how the pipeline of a data set reads masks."""
    steps: dict[str, Mapping] = {}
    for step in _transforms(settings['pipeline']):
        name = step.get('type')
        steps.setdefault(name if isinstance(name, str) else getattr(name, '__name__', ''), step)
    load = steps.get('LoadBinaryMask') or steps.get('LoadAnnotations') or {}
    common = dict(backend=load.get('imdecode_backend', 'pillow'), origin='config')
    binarize, mode = steps.get('LoadBinaryMask'), 'auto'
    if binarize is None:
        binarize, mode = steps.get('BinarizeMask'), 'threshold'  # the former name and its default
    if binarize is not None:
        mode, threshold = binarize.get('mode', mode), binarize.get('threshold')
        return MaskRule(
            mode, 127 if threshold is None else threshold, binarize.get('ignore_index'), **common
        )
    if 'LoadSoftMask' in steps or 'SoftMask' in steps:
        return MaskRule('auto', **common)
    if 'LoadAnnotations' not in steps:  # nothing says how masks are read
        return MaskRule()
    classes = (settings.get('metainfo') or {}).get('classes') or kind.METAINFO.get('classes')
    zero = bool(_argument(kind, settings, 'reduce_zero_label'))
    return MaskRule(
        'labels', num_classes=len(classes) if classes else None, reduce_zero_label=zero, **common
    )
