"""Predicts images: one in Python, or folders of them into folders of masks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.device import get_device
from mmengine.model import revert_sync_batchnorm
from torch import nn

from ..configs import read_config
from ..utils.arguments import check_device, check_folder
from ..utils.errors import UserError, user_errors
from ..utils.lock import locked
from ..utils.text import first_ten
from ._build import build_model
from ._predict_outputs import Outputs, Writer
from ._predict_record import Record
from ._predictor import Prediction, Predictor
from ._reader import ImageFiles, Item, find_images
from .pretrained import MODEL, pretrained


def load_predictor(
    *,
    model: str | None = None,
    config: str | Path | None = None,
    checkpoint: str | Path | Sequence[str | Path] = (),
    device: str | None = None,
    tta: bool = False,
    slide: tuple[int, int] | None = None,
    uncertainty: str | None = None,
    cfg_options: Mapping[str, Any] | None = None,
) -> Predictor:
    """Load a model once, for many calls of :func:`predict`.

    Args:
        model: Name of shipped weights. Default: those of :func:`.pretrained`, unless ``config`` is
            given.
        config: Config of any mmseg model, by name or by path, with ``checkpoint``. Default None.
        checkpoint: Its weights, read without running code; of several files the probabilities are
            averaged. Those that only training uses need not be there. Default ``()``.
        device: Default None: a GPU where there is one, else ``'cpu'``.
        tta: Average over the views of the config's ``tta_pipeline``. Default False.
        slide: Side of a square window and its stride, in pixels of the image, which is then not
            resized. Default None: as the config says, which resizes as a rule.
        uncertainty: Kind of uncertainty to compute, see
            :func:`condseg_mmseg.evaluation.uncertainty.uncertainty`. Default None: none.
        cfg_options: Dotted key -> value, which change the config. Default None.

    Returns:
        The predictor.

    Raises:
        UserError: A name, a file or an option cannot be used.
    """
    device = device or get_device()
    check_device(device)
    files = [checkpoint] if isinstance(checkpoint, (str, Path)) else list(checkpoint)
    if (config is None) != (not files) or (model is not None and config is not None):
        raise UserError('give --model NAME, or --config with --checkpoint, or neither')
    if config is None:
        if cfg_options:
            raise UserError('--cfg-options needs --config')
        models = [pretrained(model or MODEL).to(device).eval()]
    else:
        models = list(_models(config, files, device, uncertainty == 'sid', cfg_options))
    if device == 'cpu':
        models = [revert_sync_batchnorm(one) for one in models]
    return Predictor(models, tta=tta, slide=slide, uncertainty=uncertainty)


def _models(
    config: str | Path,
    files: Sequence[str | Path],
    device: str,
    every: bool,
    options: Mapping[str, Any] | None,
) -> Iterator[nn.Module]:
    cfg = read_config(config, options)
    hook = cfg.get('default_hooks', {}).get('strict_load') or {}
    optional = () if every else hook.get('training_only', (r'auxiliary_head\.',))
    for file in files:
        model = build_model(cfg, file, device, optional)
        model.cfg = cfg
        yield model


def predict(
    model: Predictor | nn.Module,
    image: str | Path | np.ndarray,
    *,
    channel_order: str = 'bgr',
) -> Prediction:
    """Predict one image.

    Args:
        model: Of :func:`load_predictor`, or a segmentor with ``cfg``, as ``init_model`` of mmseg
            and ``pretrained`` return it.
        image: File, which is turned as its EXIF orientation says, or an array (H, W, 3) uint8, such
            as a frame of a video.
        channel_order: Of the array: ``'bgr'`` (default), as OpenCV reads, or ``'rgb'``.

    Returns:
        Mask, probability and, if the predictor computes it, uncertainty, all (H, W).

    Raises:
        UserError: The image cannot be read, or is no such array.
    """
    if channel_order not in ('bgr', 'rgb'):
        raise UserError(f"channel_order must be 'bgr' or 'rgb', got {channel_order!r}")
    predictor = model if isinstance(model, Predictor) else Predictor([model])
    if isinstance(image, np.ndarray) and channel_order == 'rgb':
        image = np.ascontiguousarray(image[..., ::-1])
    return next(predictor.predict([predictor.read(image)]))


def predict_files(
    images: str | Path | Sequence[str | Path],
    out: str | Path,
    predictor: Predictor | None = None,
    *,
    outputs: Outputs | None = None,
    batch_size: int | None = None,
    workers: int = 2,
    force: bool = False,
    made_with: Mapping[str, Any] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, Any]:
    """Predict files, and write masks of the same names.

    ``a/b.jpg`` of a folder becomes ``OUT/masks/a/b.png``, of the size at which the image is
    displayed, its EXIF orientation honoured: 0 and 255, or labels with a palette for several
    classes. ``OUT/predictions.csv`` has a row for each image, ``OUT/predict.json`` the settings. A
    second run predicts only what is not there yet, or was made from an image that has changed.

    Args:
        images: Files, folders (with sub-folders) and globs.
        out: Folder.
        predictor: Default None: the shipped weights.
        outputs: What else to write. Default None: nothing.
        batch_size: Images of one size, after the pipeline, that are predicted at once. Default
            None: 8, fewer of images beyond 512 x 512 or with more than three classes.
        workers: Processes that read ahead. Default 2.
        force: Replace predictions of other settings, and files that are no predictions. Default
            False.
        made_with: What to note in ``predict.json``. Default None.
        progress: Called with ``'predicting'``, the number of images done and of all. Default None.

    Returns:
        ``out``, ``images``, ``predicted``, ``kept`` (numbers) and ``failed`` (file -> reason).

    Raises:
        UserError: An option cannot be used, two images have one name, or a file is in the way.
    """
    for name, value, least in (('batch-size', batch_size, 1), ('workers', workers, 0)):
        if value is not None and value < least:
            raise UserError(f'--{name} must be >= {least}, got {value}')
    check_folder('--out', out)
    sources = [images] if isinstance(images, (str, Path)) else images
    files = find_images(sources, out)
    predictor = predictor or load_predictor()
    out = Path(out)
    writer = Writer(out, predictor, outputs or Outputs())
    settings = predictor.settings() | writer.settings()
    out.mkdir(parents=True, exist_ok=True)
    with user_errors(OSError), locked(out) as lock:
        lock.truncate(0)
        lock.write(str(os.getpgrp()))
        lock.flush()
        record = Record(out, settings, made_with or {}, force)
        others = record.others(files)
        if others and not force:
            raise UserError(
                f'{out} holds predictions of other images of these names: give another --out, or '
                f'--force to replace them:{first_ten(others, lines=True)}'
            )
        todo = {
            name: path
            for name, path in files.items()
            if not record.is_done(name, path, writer.files(name).values())
        }
        writer.check(todo, files.values(), own=force or record.is_old)
        writer.discard_all(record.stale)
        with record:
            _predict_all(predictor, todo, record, writer, batch_size, workers, progress)
        rows = [record.rows[name] for name in files]
        writer.summaries([row for row in rows if row['status'] == 'ok'])
    failed = {
        record.rows[name]['image']: record.rows[name]['error']
        for name in todo
        if record.rows[name]['status'] != 'ok'
    }
    return dict(
        out=str(out),
        images=len(files),
        predicted=len(todo) - len(failed),
        kept=len(files) - len(todo),
        failed=failed,
    )


def _predict_all(
    predictor: Predictor,
    todo: Mapping[str, Path],
    record: Record,
    writer: Writer,
    batch_size: int | None,
    workers: int,
    progress: Callable[[str, int, int], None] | None,
) -> None:
    done = 0

    def note(name: str, **values: Any) -> None:
        nonlocal done
        done += 1
        record.add(name, todo[name], **values)
        if progress is not None:
            progress('predicting', done, len(todo))

    def readable() -> Iterator[Item]:
        for item in ImageFiles(todo, predictor.read).items(min(workers, len(todo))):
            if item.error:
                writer.discard(item.name)
                note(item.name, status='error', error=item.error)
            else:
                yield item

    for batch in predictor.batches(readable(), batch_size):
        predictions = predictor.predict([item.views for item in batch])
        for item, prediction in zip(batch, predictions, strict=True):
            note(item.name, **writer.write(item, todo[item.name], prediction))
