"""``condseg predict``: from images to masks."""

from __future__ import annotations

import argparse
import contextlib
import sys
from typing import Any

from condseg_mmseg.utils.text import count, first_ten

from .progress import progress_bar

_DESCRIPTION = """\
Predict images: of a/b.jpg in a folder the mask OUT/masks/a/b.png, of the size at which the image
is displayed (its EXIF orientation honoured), 0 and 255, or labels with a palette for several
classes. OUT/predictions.csv has a row for each image. `condseg evaluate OUT/masks TRUTHS` scores
them. A second run predicts only what is not there yet. A file that cannot be read is listed at the
end, with exit status 1."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command."""
    parser = commands.add_parser(
        'predict', help='from images to masks', description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add = parser.add_argument
    add('images', nargs='+', metavar='IMAGES', help="files, folders, globs such as 'x/**/*.png'")
    add('--out', required=True, help='folder to write')
    add('--force', action='store_true', help='replace what --out holds of other settings')
    _model_options(parser.add_argument_group('the model (default: the shipped polyp weights)'))
    _run_options(parser.add_argument_group('how'))
    _output_options(parser.add_argument_group('what to write beside the masks'))
    parser.set_defaults(run=run)


def _model_options(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add('--model', metavar='NAME', help='shipped weights')
    add('--config', help='config of any mmseg model, by name or by path')
    add('--checkpoint', nargs='+', default=[], metavar='W',
        help='its weights; of several files the probabilities are averaged')  # fmt: skip
    add('--cfg-options', nargs='+', action='extend', default=[], metavar='KEY=VALUE',
        help='changes of the config')  # fmt: skip


def _run_options(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add('--device', help='such as cuda:0 (default: a GPU where there is one, else cpu)')
    add('--batch-size', type=int, metavar='N',
        help='images at once (default: 8, fewer of large images or many classes)')  # fmt: skip
    add('--workers', type=int, default=2, metavar='N',
        help='processes that read images (default: 2)')  # fmt: skip
    add('--tta', action='store_true', help="average over the views of the config's tta_pipeline")
    add('--slide', type=int, nargs=2, metavar=('SIZE', 'STRIDE'),
        help='slide a window over the image, which is not resized then; pixels')  # fmt: skip


def _output_options(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add('--probabilities', action='store_true', help='grey PNG of 16 bits, 65535 for 1')
    add('--overlays', action='store_true', help='contours over the images')
    add('--uncertainty', nargs='?', const='default', metavar='KIND',
        help='grey PNG of 16 bits; KIND: entropy (of the prediction; default) or sid '
        '(1 - |p_fg - p_bg| of the SID head)')  # fmt: skip
    add('--grad-cam', nargs='+', default=[], metavar='MODULE',
        help='where the maps of these modules, such as backbone.layer4, support the prediction; '
        'several checkpoints side by side')  # fmt: skip
    add('--coco', action='store_true', help="coco.json: the objects in COCO's format")
    add('--sheet', action='store_true', help='sheet.png: a contact sheet of ten images')


def run(args: argparse.Namespace) -> int:
    """Predict and print."""
    with contextlib.redirect_stdout(sys.stderr):  # what mmengine logs
        from condseg_mmseg.apis.predict import Outputs, load_predictor, predict_files
        from condseg_mmseg.evaluation.uncertainty import DEFAULT
        from condseg_mmseg.utils.cfg_options import read_options

        names = ('model', 'config', 'checkpoint', 'device', 'tta', 'slide', 'uncertainty')
        options: dict[str, Any] = {name: getattr(args, name) for name in names}
        options['slide'] = tuple(args.slide) if args.slide else None
        options['cfg_options'] = read_options(args.cfg_options)
        if args.uncertainty == 'default':
            options['uncertainty'] = DEFAULT
        outputs = Outputs(
            probabilities=args.probabilities,
            overlays=args.overlays,
            grad_cam=tuple(args.grad_cam),
            coco=args.coco,
            sheet=args.sheet,
        )
        with progress_bar() as show:
            report = predict_files(
                args.images, args.out, load_predictor(**options),
                outputs=outputs, batch_size=args.batch_size, workers=args.workers,
                force=args.force, made_with=options, progress=show,
            )  # fmt: skip
    print(describe(report))
    return 1 if report['failed'] else 0


def describe(report: dict[str, Any]) -> str:
    """Write what :func:`condseg_mmseg.apis.predict.predict_files` returns as text."""
    kept = f', {report["kept"]} were there already' if report['kept'] else ''
    lines = [f'{count(report["predicted"], "image")} predicted into {report["out"]}/masks{kept}']
    if report['failed']:
        number = count(len(report['failed']), 'image')
        lines.append(f'{number} failed:{first_ten(report["failed"].values(), lines=True)}')
    return '\n'.join(lines)
