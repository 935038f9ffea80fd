"""Scores a checkpoint on the test set of its config: mmseg's test."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.runner import Runner

from ..configs import find_config, read_config
from ..engine.checkpoint_loader import require_checkpoint
from ..utils.arguments import check_folder, check_outputs, check_picture
from ..utils.environment import environment
from ..utils.errors import UserError, user_errors
from ..utils.files import write_json
from ._build import dataset_files
from .contact_sheet import contact_sheet


def evaluate_checkpoint(
    config: str | Path,
    checkpoint: str | Path,
    *,
    cfg_options: Mapping[str, Any] | None = None,
    csv: str | Path | None = None,
    json: str | Path | None = None,
    sheet: str | Path | None = None,
    tta: bool = False,
    fuse_conv_bn: bool = False,
    work_dir: str | Path | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Run mmengine's test loop, as mmseg's ``tools/test.py`` does, and write the scores.

    Args:
        config: Config, by name or by path.
        checkpoint: A file that holds all weights that its model predicts with.
        cfg_options: Dotted key -> value, which change the config. Default None.
        csv: File to write with a row for every image. Default None.
        json: File to write with what is returned. Default None.
        sheet: Contact sheet of ten test images to write, such as ``sheet.png``. Default None.
        tta: Test-time augmentation, by ``tta_model`` and ``tta_pipeline``. Default False.
        fuse_conv_bn: Fold BatchNorm into the convolutions: faster. Default False.
        work_dir: Where mmengine puts its log. Default: that of the config, else
            ``work_dirs/NAME_OF_CONFIG``.
        force: Replace ``csv``, ``json`` and ``sheet`` if they are there. Default False.

    Returns:
        ``config``, ``checkpoint``, ``cfg_options``, ``tta``, ``fuse_conv_bn``, ``environment``,
        ``images`` (their number) and ``results`` (as the config's evaluators name them).

    Raises:
        UserError: The config, the checkpoint, the data or an output cannot be used.
    """
    path = find_config(config)
    cfg = read_config(path, cfg_options)
    outputs = {'--csv': csv, '--json': json, '--sheet': sheet}
    check_outputs(outputs, [path, checkpoint], force)
    require_checkpoint(checkpoint)
    if sheet is not None:
        check_picture('--sheet', sheet)
    for key in ('test_dataloader', 'test_evaluator', *(('tta_model', 'tta_pipeline') * tta)):
        if not cfg.get(key):
            raise UserError(f'{path} has no {key}')
    cfg.work_dir = str(work_dir or cfg.get('work_dir') or Path('work_dirs', path.stem))
    cfg.load_from = str(checkpoint)
    if csv is not None:
        _set_csv_path(cfg, csv)
    if tta:
        cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
        cfg.model = dict(cfg.tta_model, module=cfg.model)
    hooks = cfg.setdefault('default_hooks', {})
    hooks.setdefault('strict_load', dict(type='StrictLoadHook'))  # mmengine alone is lenient
    if fuse_conv_bn:
        hooks.fuse = dict(type='FuseConvBNHook')
    check_folder('--work-dir', cfg.work_dir)
    with user_errors(OSError, ValueError):
        runner = Runner.from_cfg(cfg)
        dataset = runner.test_loop.dataloader.dataset
    check_outputs(outputs, dataset_files(dataset), force)
    results = runner.test()
    report = dict(
        config=str(config),
        checkpoint=str(checkpoint),
        cfg_options=dict(cfg_options or {}),
        tta=tta,
        fuse_conv_bn=fuse_conv_bn,
        environment=environment(),
        images=len(dataset),
        results={name: float(value) for name, value in results.items()},
    )
    if json is not None:
        write_json(json, report)
    if sheet is not None:
        contact_sheet(
            config, checkpoint, sheet,
            split='test', device=get_device(), cfg_options=cfg_options, force=True,
        )  # fmt: skip
    return report


def _set_csv_path(cfg: Config, csv: str | Path) -> None:
    several = isinstance(cfg.test_evaluator, (list, tuple))
    for evaluator in cfg.test_evaluator if several else [cfg.test_evaluator]:
        if str(evaluator.type).rpartition('.')[2] == 'PerImageBinaryMetric':
            evaluator.csv_path = str(csv)
            return
    raise UserError(f'--csv: {cfg.filename} has no PerImageBinaryMetric in test_evaluator')
