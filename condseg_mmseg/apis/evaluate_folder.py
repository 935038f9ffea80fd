"""Scores a folder of predicted masks or probability maps, whatever program made them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mmcv
import numpy as np
import torch

from ..datasets.files import FolderIndex, read_names
from ..datasets.mask_resize import resize_soft
from ..evaluation import PerImageBinaryMetric
from ..evaluation.extra_scores import EXTRA_SCORES
from ..evaluation.prediction_folder import (
    MODES,
    check_files,
    detect_mode,
    match,
    read_probability,
)
from ..evaluation.truth_reader import TruthReader
from ..utils.arguments import check_outputs
from ..utils.errors import UserError, user_errors
from ..utils.files import write_json

_Size = tuple[int, int] | str


def evaluate_folder(
    predictions: str | Path,
    masks: str | Path,
    *,
    names: str | Path | Sequence[str] | None = None,
    pred_suffix: str | None = None,
    gt_suffix: str | None = None,
    allow_missing: bool = False,
    pred_mode: str = 'auto',
    threshold: float = 0.5,
    mask_mode: str = 'auto',
    size: Sequence[int] | None = None,
    protocol: str | None = None,
    strict_size: bool = False,
    csv: str | Path | None = None,
    json: str | Path | None = None,
    force: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
    **metric_options: Any,
) -> dict[str, Any]:
    """Score predictions by :class:`PerImageBinaryMetric`: per image, averaged over images.

    The folders hold images (PNG, JPEG, BMP, TIFF) of the same names, endings apart. Predictions of
    another size are resized bilinearly, as probabilities, before they are cut; truths are cut to
    0/1, resized bilinearly, and cut at 0.5 again. ``docs/scores.md`` explains the scores.

    Args:
        predictions: Folder of grey maps (0..255 are probabilities) or of 0/1 or 0/255 masks.
        masks: Folder of the truths.
        names: The images to score, or a text file that names them, one a line. Default None: all.
        pred_suffix: What follows the name in ``predictions``, such as ``'_pred'``. Default None.
        gt_suffix: What follows the name in ``masks``. Default None.
        allow_missing: Leave out images without a counterpart. Default False.
        pred_mode: ``'probability'``, ``'label'`` (all but 0 is foreground) or ``'auto'``
            (default), which looks at all files.
        threshold: Foreground where p > threshold. Default 0.5.
        mask_mode: Of the truths: ``'auto'`` (default; 0/1 or 0/255, file by file),
            ``'threshold'`` (above 127) or ``'nonzero'`` (labels).
        size: Height and width, in pixels, at which images are compared. Default None.
        protocol: ``'original'`` (default without ``size``): at the size of the truth;
            ``'input_size'``: at ``size``, else at the size of each prediction.
        strict_size: Refuse predictions that would have to be resized. Default False.
        csv: File to write with a row for every image. Default None.
        json: File to write with what is returned. Default None.
        force: Replace ``csv`` and ``json`` if they are there. Default False.
        progress: Called with ``'scoring'``, the number of images scored and of all. Default None.
        **metric_options: Further arguments of the metric, such as ``empty_policy``,
            ``extra_metrics`` (``('all',)`` for all), ``size_groups`` and ``bootstrap``.

    Returns:
        ``settings``, ``predictions`` and ``truths`` (what was found in the files, in words),
        ``images``, ``resized`` (numbers), ``missing``, ``extra`` (names left out), ``undefined``
        (number of images without a score, by score), ``groups`` (their bounds, in words, or None)
        and ``results`` (means in percent or pixels).

    Raises:
        UserError: Names the option, or the first ten files, that cannot be used.
    """
    if 'all' in metric_options.get('extra_metrics', ()):
        metric_options['extra_metrics'] = tuple(EXTRA_SCORES)
    settings = {**locals(), **metric_options}
    del settings['progress'], settings['force'], settings['metric_options']
    protocol = settings['protocol'] = _protocol(protocol, size, threshold)
    if pred_mode not in MODES:
        raise UserError(f'--pred-mode must be one of {MODES}, got {pred_mode!r}')
    with user_errors(ValueError):
        metric = PerImageBinaryMetric(protocol=protocol, **metric_options)
    settings['empty_policy'] = metric.empty_policy
    reader = TruthReader(mask_mode)
    found, truths, names, inputs = _read_folders(
        (predictions, pred_suffix), (masks, gt_suffix), names
    )
    check_outputs({'--csv': csv, '--json': json}, inputs, force)
    pairs = match(found, truths, names, allow_missing)
    scored: _Size = 'truth' if protocol == 'original' else 'prediction'
    if size:
        scored = (size[0], size[1])
    resized = check_files(pairs, scored, strict_size)
    seen = f'{pred_mode} (forced)'
    if pred_mode == 'auto':
        pred_mode, seen = detect_mode([path for _, path, _ in pairs.paths])
        settings['pred_mode'] = pred_mode
    kinds = reader.inspect([path for *_, path in pairs.paths])
    for done, paths in enumerate(pairs.paths, 1):
        metric.process({}, [_sample(paths, reader, pred_mode, threshold, scored)])
        if progress is not None:
            progress('scoring', done, len(pairs.paths))
    results = metric.evaluate(len(pairs.paths))
    assert metric.table is not None
    if csv is not None:
        metric.table.write(csv)
    report = dict(
        settings={key: str(v) if isinstance(v, Path) else v for key, v in settings.items()},
        predictions=seen,
        truths=kinds,
        images=len(pairs.paths),
        resized=resized,
        missing=pairs.missing,
        extra=pairs.extra,
        undefined=metric.table.undefined(),
        groups=metric.table.describe_groups() if metric.size_groups else None,
        results=dict(results),
    )
    if json is not None:
        write_json(json, report)
    return report


def _read_folders(
    predictions: tuple[str | Path, str | None],
    masks: tuple[str | Path, str | None],
    names: str | Path | Sequence[str] | None,
) -> tuple[FolderIndex, FolderIndex, Sequence[str] | None, list[str | Path | None]]:
    """Index both folders, read the names if a file holds them, and list all files read."""
    listed, chosen = (names, None) if isinstance(names, (str, Path)) else (None, names)
    with user_errors(OSError):
        found, truths = (FolderIndex(str(folder), end) for folder, end in (predictions, masks))
    if listed is not None:
        try:
            chosen = read_names(str(listed))
        except (OSError, ValueError) as error:
            raise UserError(f'{listed} cannot be read as a list of names: {error}') from error
    if chosen is not None and not chosen:
        raise UserError(f'{listed or "names"} holds no name')
    files = [Path(index.folder, file) for index in (found, truths) for file in index.files]
    return found, truths, chosen, [*files, listed]


def _protocol(protocol: str | None, size: Sequence[int] | None, threshold: float) -> str:
    """Refuse options that contradict each other; give the protocol that follows from the size."""
    if size and protocol == 'original':
        raise UserError("--size makes the protocol input_size; leave out '--protocol original'")
    if size and (len(size) != 2 or min(size) < 1):
        raise UserError(f'--size needs two numbers of pixels, got {list(size)}')
    if not 0 <= threshold < 1:
        raise UserError(f'--threshold must lie in 0..1, below 1, got {threshold}')
    return protocol or ('input_size' if size else 'original')


def _sample(
    paths: tuple[str, str, str], reader: TruthReader, mode: str, threshold: float, size: _Size
) -> dict[str, Any]:
    """Make the data sample that mmseg would hand to the metric."""
    name, prediction, mask = paths
    map_ = read_probability(prediction, mode)
    if isinstance(size, str):
        truth = reader(mask, None if size == 'truth' else map_.shape)
    else:
        truth = reader(mask, size)
    shape = truth.shape
    if map_.shape != shape:
        if size == 'truth':
            map_ = mmcv.imresize(map_, shape[::-1], interpolation='bilinear')
        else:  # as the truth, so that its copy scores 100
            map_ = resize_soft(map_, shape)
    probability = torch.from_numpy(map_)[None]  # (1, H, W)
    return dict(
        img_path=name,
        seg_map_path=mask,
        ori_shape=shape,
        img_shape=shape,
        seg_logits=dict(data=probability),
        pred_sem_seg=dict(data=(probability > threshold).to(probability)),
        gt_sem_seg=dict(data=torch.from_numpy(truth.astype(np.int64))[None]),
    )
