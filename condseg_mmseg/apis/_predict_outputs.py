"""The files of a folder of predictions."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from ..utils.errors import UserError
from ..utils.files import write_json
from ..utils.text import first_ten
from ..visualization.coco import coco_json
from ..visualization.grad_cam import draw_cams, find_module, grad_cam
from ..visualization.prediction_files import (
    describe,
    draw_overlay,
    draw_prediction_sheet,
    read_labels,
    read_picture,
    write_map,
    write_mask,
    write_png,
)
from ._predictor import Prediction, Predictor
from ._reader import Item

FOLDERS = ('masks', 'probabilities', 'uncertainty', 'overlays', 'grad_cam')
SUMMARIES = ('coco.json', 'sheet.png')
_SHEET = 10  # images


@dataclass(frozen=True)
class Outputs:
    """What is written beside the masks, in folders and files of these names.

    Attributes:
        probabilities: Probability maps, grey PNG of 16 bits, 65535 for 1.
        overlays: Contours over the images.
        grad_cam: Modules, of whose maps Grad-CAM is drawn; one picture an image, with a row for
            each module and a column for each checkpoint.
        coco: ``coco.json``, the objects in COCO's format.
        sheet: ``sheet.png``, a contact sheet of ten images.
    """

    probabilities: bool = False
    overlays: bool = False
    grad_cam: tuple[str, ...] = ()
    coco: bool = False
    sheet: bool = False


class Writer:
    """Writes predictions into a folder.

    Args:
        out: Folder.
        predictor: What predicts.
        outputs: What is written beside the masks and, if the predictor computes it, the
            uncertainty (grey PNG of 16 bits, 65535 for 1).

    Raises:
        UserError: ``grad_cam`` names no module, or the predictor slides a window.
    """

    def __init__(self, out: Path, predictor: Predictor, outputs: Outputs) -> None:
        self.out, self.predictor, self.outputs = out, predictor, outputs
        if outputs.grad_cam and predictor.slide:
            raise UserError('--grad-cam does not work with --slide')
        for module in outputs.grad_cam:
            find_module(predictor.model, module)
        self.binary = len(predictor.classes) == 2
        uncertain, cams = predictor.kind is not None, bool(outputs.grad_cam)
        asked = (True, outputs.probabilities, uncertain, outputs.overlays, cams)
        self.folders = [folder for folder, one in zip(FOLDERS, asked, strict=True) if one]
        if (cams or predictor.kind == 'sid') and any(map(_pads, predictor.models)):
            raise UserError(
                '--grad-cam and --uncertainty sid do not work with padding '
                '(data_preprocessor.test_cfg)'
            )

    def settings(self) -> dict[str, Any]:
        """What the files of an image depend on, beside the predictor."""
        outputs = self.outputs
        return dict(
            probabilities=outputs.probabilities,
            overlays=outputs.overlays,
            grad_cam=list(outputs.grad_cam),
        )

    def files(self, name: str) -> dict[str, Path]:
        """The file of an image in each folder, ``masks`` first."""
        return {folder: self.out / folder / f'{name}.png' for folder in self.folders}

    def summary_files(self) -> list[Path]:
        """The files about all images."""
        asked = (self.outputs.coco, self.outputs.sheet)
        return [self.out / name for name, one in zip(SUMMARIES, asked, strict=True) if one]

    def check(self, names: Iterable[str], images: Iterable[Path], own: bool) -> None:
        """Refuse to write over an input, or over what no earlier run wrote.

        Args:
            names: Of the images to predict.
            images: All that are read.
            own: Whether files that are there, and no images, may be replaced.

        Raises:
            UserError: Names the first ten files.
        """
        inputs = {_identity(path) for path in images}
        paths = [path for name in names for path in self.files(name).values()]
        there = [path for path in (*paths, *self.summary_files()) if path.exists()]
        same = [path for path in there if _identity(path) in inputs]
        if same:
            raise UserError(f'--out {self.out} would overwrite inputs: {first_ten(same)}')
        if there and not own:
            raise UserError(
                f'--out {self.out} has files that no earlier run wrote: {first_ten(there)}; give '
                'another folder, or --force to replace them'
            )

    def discard(self, name: str, folders: Sequence[str] | None = None) -> None:
        """Delete the files of an image that are out of date.

        Args:
            name: Of the image.
            folders: Where they are. Default None: the folders of this run.
        """
        below = os.path.join(os.path.realpath(self.out), '')
        for folder in self.folders if folders is None else folders:
            path = self.out / folder / f'{name}.png'
            if os.path.realpath(path).startswith(below):
                path.unlink(missing_ok=True)

    def discard_all(self, names: Sequence[str]) -> None:
        """Delete all that a run with other settings wrote about some images, and its summaries."""
        for name in names:
            self.discard(name, FOLDERS)
        for summary in SUMMARIES if names else ():
            (self.out / summary).unlink(missing_ok=True)

    def write(self, item: Item, image: Path, prediction: Prediction) -> dict[str, Any]:
        """Write the files of an image, the mask last, and return the row about them."""
        predictor, files = self.predictor, self.files(item.name)
        foreground, palette = predictor.foreground, predictor.palette
        if 'grad_cam' in files:  # first, as it may refuse the module
            write_png(files['grad_cam'], self._cams(item, image))
        if 'probabilities' in files:
            write_map(files['probabilities'], prediction.probability)
        if prediction.uncertainty is not None:
            write_map(files['uncertainty'], prediction.uncertainty)
        if 'overlays' in files:
            overlay = draw_overlay(read_picture(image), prediction.mask, foreground, palette)
            write_png(files['overlays'], overlay)
        write_mask(files['masks'], prediction.mask, palette)
        row = describe(prediction.mask, prediction.probability, foreground)
        return dict(row, status='ok', mask=str(files['masks'].relative_to(self.out)))

    def _cams(self, item: Item, image: Path) -> np.ndarray:
        view, models = item.views[0], self.predictor.models
        cams = []
        for module in self.outputs.grad_cam:
            maps = []
            for model in models:
                data = self.predictor.batch(model, [view])
                metas = [sample.metainfo for sample in data['data_samples']]
                cam = grad_cam(model, data['inputs'], metas, module, self.predictor.foreground)
                maps.append(_unflipped(cam, view.meta))
            cams.append((module, maps))
        titles = [''] if len(models) == 1 else [f'checkpoint {i + 1}' for i in range(len(models))]
        return draw_cams(read_picture(image), cams, titles)

    def summaries(self, rows: Sequence[Mapping[str, str]]) -> None:
        """Write the files about all images, of the rows of those that were predicted."""
        predictor, outputs = self.predictor, self.outputs
        if outputs.coco:
            data = coco_json(self._labels(rows), predictor.classes, predictor.foreground)
            write_json(self.out / 'coco.json', data)
        if outputs.sheet and rows:
            spaced = np.linspace(0, len(rows) - 1, min(_SHEET, len(rows))).round().astype(int)
            drawn = [self._sheet_row(rows[i]) for i in spaced]
            sheet = draw_prediction_sheet(drawn, predictor.foreground, predictor.palette)
            write_png(self.out / 'sheet.png', sheet)

    def _labels(self, rows: Sequence[Mapping[str, str]]) -> Iterator[tuple[str, np.ndarray]]:
        for row in rows:
            labels = read_labels(self.out / row['mask'], self.binary)
            yield row['name'] + Path(row['image']).suffix, labels

    def _sheet_row(self, row: Mapping[str, str]) -> dict[str, Any]:
        files = self.files(row['name'])
        titles = dict(probabilities='P(foreground)', uncertainty='uncertainty')
        if not self.binary:
            titles['probabilities'] = 'P(label)'
        maps = {title: files[folder] for folder, title in titles.items() if folder in files}
        return dict(row, mask=files['masks'], maps=maps)


def _unflipped(cam: np.ndarray, meta: Mapping[str, Any]) -> np.ndarray:
    if not meta.get('flip'):
        return cam
    return cam[::-1] if meta.get('flip_direction') == 'vertical' else cam[:, ::-1]


def _pads(model: nn.Module) -> bool:
    return bool(getattr(getattr(model, 'data_preprocessor', None), 'test_cfg', None))


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino
