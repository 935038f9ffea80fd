"""The contact sheet: image, truth, prediction, contours and the maps of the SID head.

A row is an image of the data set, with its Dice; columns are the image, the truth, the prediction,
both contours over the image, and the probabilities of foreground, background and uncertainty that
the auxiliary head sees (left out for models without it). The pictures have the size at which the
test pipeline scores.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from torch import Tensor, nn

from ..evaluation.functional import confusion_counts, scores_from_counts
from ..models import SIDHead
from ..models.layers import resize_to
from ..models.segmentors.prediction import predicting_head
from ..utils.errors import UserError

MAPS = ('foreground', 'background', 'uncertainty')
TRUTH, PREDICTED = (0, 158, 115), (230, 60, 160)  # RGB; a pair that colour-blind readers tell apart
GAP, HEADER, MARGIN = 4, 30, 132  # pixels


def has_sid(model: Any) -> bool:
    """Whether the model has a neck that decouples and a head that shows its maps."""
    return bool(
        getattr(model, 'with_neck', False)
        and getattr(model.neck, 'sid_outputs', False)
        and isinstance(getattr(model, 'auxiliary_head', None), SIDHead)
    )


@contextlib.contextmanager
def sid_in_eval(model: Any) -> Iterator[None]:
    """Let the neck return fg, bg, uc in eval mode, and set it back."""
    before = model.neck.sid_in_eval
    model.neck.sid_in_eval = True
    try:
        yield
    finally:
        model.neck.sid_in_eval = before


@torch.no_grad()
def sid_maps(model: Any, data: dict, size: tuple[int, int]) -> list[np.ndarray]:
    """Probabilities of foreground, background and uncertainty.

    Args:
        model: A model for which :func:`has_sid` holds, in eval mode.
        data: A batch of one sample, as collated.
        size: Height and width of the result.

    Returns:
        Three arrays (height, width) in 0..1.
    """
    inputs = model.data_preprocessor(data, False)['inputs']
    with sid_in_eval(model):
        logits = model.auxiliary_head.forward(model.extract_feat(inputs))
    return [resize_to(x, size).sigmoid()[0, 0].cpu().numpy() for x in logits]


def picture(inputs: Tensor, size: tuple[int, int]) -> np.ndarray:
    """The packed image (3, h, w), BGR, as RGB (height, width, 3)."""
    image = inputs.permute(1, 2, 0).numpy()[..., ::-1]
    if image.shape[:2] == size:
        return np.ascontiguousarray(image)
    return cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)


def outline(
    image: np.ndarray,
    tile: int,
    masks: Sequence[np.ndarray],
    colours: Sequence[tuple],
    thickness: int | None = None,
) -> np.ndarray:
    """Draw the contours of masks over an image that is enlarged.

    Args:
        image: RGB (H, W, 3), uint8.
        tile: Width of the result in pixels.
        masks: Each (h, w), bool or 0 and 1.
        colours: RGB of each mask.
        thickness: Of the lines, in pixels. Default None: a 96th of the width, at least 1.

    Returns:
        RGB, uint8.
    """
    canvas = enlarge(image, tile)
    thickness = thickness or max(1, tile // 96)
    for mask, colour in zip(masks, colours, strict=True):
        big = enlarge(mask.astype(np.uint8), tile, cv2.INTER_NEAREST_EXACT)
        lines, _ = cv2.findContours(big, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(canvas, lines, -1, colour, thickness, cv2.LINE_AA)
    return canvas


def enlarge(image: np.ndarray, tile: int, interpolation: int | None = None) -> np.ndarray:
    """Resize to a width, keeping the aspect ratio.

    Args:
        image: (H, W) or (H, W, 3).
        tile: Width of the result in pixels.
        interpolation: Of OpenCV. Default None: cubic to enlarge, area to shrink.
    """
    height, width = image.shape[:2]
    if interpolation is None:
        interpolation = cv2.INTER_CUBIC if tile > width else cv2.INTER_AREA
    size = (tile, round(height * tile / width))
    return np.ascontiguousarray(cv2.resize(image, size, interpolation=interpolation))


def grey(mask: np.ndarray, foreground: Sequence[int], ignored: int) -> np.ndarray:
    """Draw labels: foreground white, background black, ignored pixels grey.

    Args:
        mask: Labels, (H, W).
        foreground: Labels that count.
        ignored: Label that is ignored.

    Returns:
        RGB (H, W, 3), uint8.
    """
    shade = np.where(np.isin(mask, foreground), 255, np.where(mask == ignored, 128, 0))
    return shade.astype(np.uint8)[..., None].repeat(3, 2)


def heat(probability: np.ndarray, tile: int) -> np.ndarray:
    """Draw a map in colours, from dark (0) to bright (1).

    Args:
        probability: In 0..1, (H, W).
        tile: Width of the result in pixels.

    Returns:
        RGB, uint8.
    """
    values = np.clip(enlarge(probability.astype(np.float32), tile), 0, 1)
    return cv2.applyColorMap((255 * values).astype(np.uint8), cv2.COLORMAP_VIRIDIS)[..., ::-1]


def write(canvas: np.ndarray, text: str, x: int, y: int, size: float = 0.42) -> int:
    """Write text in black, in place.

    Args:
        canvas: RGB (H, W, 3), uint8.
        text: ASCII; OpenCV draws no other characters.
        x: Left end in pixels.
        y: Base line in pixels.
        size: Of OpenCV's font. Default 0.42.

    Returns:
        The x after the text.
    """
    font = cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(canvas, text, (x, y), font, size, (20, 20, 20), 1, cv2.LINE_AA)
    return x + cv2.getTextSize(text, font, size, 1)[0][0]


def draw_row(model: Any, item: dict, tile: int) -> tuple[list[np.ndarray], str, float]:
    """Predict one sample and draw its tiles.

    Args:
        model: A segmentor in eval mode.
        item: Of a data set, as ``PackSegInputs`` leaves it.
        tile: Width of a tile in pixels.

    Returns:
        Tiles (RGB, uint8), name of the image, and Dice in 0..1.

    Raises:
        UserError: The sample has no mask.
    """
    data = pseudo_collate([item])
    with torch.no_grad():
        sample = model.test_step(data)[0]
    if 'gt_sem_seg' not in sample:
        raise UserError(f'{sample.get("img_path")} has no mask: a contact sheet shows the truth')
    maps = (sample.gt_sem_seg, sample.pred_sem_seg)
    truth, predicted = (labels.data.squeeze(0).cpu().numpy() for labels in maps)  # (H, W)
    head = predicting_head(model)
    foreground, ignored = tuple(range(1, head.num_classes)), head.ignore_index
    counts = confusion_counts(predicted, truth, foreground, ignored)
    dice = float(scores_from_counts(counts)['dice'])

    image = picture(item['inputs'], truth.shape)
    shades = [grey(mask, foreground, ignored) for mask in (truth, predicted)]
    masks = [np.isin(mask, foreground) for mask in (truth, predicted)]
    tiles = [
        enlarge(image, tile),
        *(enlarge(shade, tile, cv2.INTER_NEAREST_EXACT) for shade in shades),
        outline(image, tile, masks, (TRUTH, PREDICTED)),
    ]
    if has_sid(model):
        tiles += [heat(x, tile) for x in sid_maps(model, data, truth.shape)]
    return tiles, Path(sample.img_path).stem, dice


def draw_sheet(
    model: nn.Module, dataset: Any, indices: Sequence[int], tile: int = 144
) -> np.ndarray:
    """Draw the sheet.

    Args:
        model: A segmentor in eval mode.
        dataset: Data set with masks, whose pipeline ends in ``PackSegInputs``.
        indices: Which of its images, in this order.
        tile: Width of a picture in pixels. Default 144.

    Returns:
        RGB, uint8.

    Raises:
        UserError: An index outside the data set, none at all, or an image without a mask.
    """
    wrong = [i for i in indices if not 0 <= i < len(dataset)]
    if wrong or not len(indices):
        raise UserError(f'indices must lie in 0..{len(dataset) - 1}, got {wrong or "none"}')
    rows = []
    for index in indices:
        tiles, name, dice = draw_row(model, dataset[index], tile)
        rows.append((tiles, name, f'Dice {dice:.3f}'))
    both = [('truth', TRUTH), ('prediction', PREDICTED)]
    titles: list[Any] = ['image', 'truth', 'prediction', both]
    titles += [f'P({name})' for name in MAPS]
    return stack_rows(rows, titles, tile)


def stack_rows(
    rows: Sequence[tuple[Sequence[np.ndarray], str, str]],
    titles: Sequence[str | Sequence[tuple[str, tuple[int, int, int]]]],
    tile: int,
) -> np.ndarray:
    """Put rows of pictures under each other, a title over every column.

    Args:
        rows: Pictures of ``tile`` pixels of width (one height in a row), a name and a second line.
        titles: Title of each column, or texts with the colours of their contours. Titles of
            columns that no row has are left out.
        tile: Width of a picture in pixels.

    Returns:
        RGB, uint8.
    """
    columns = max(len(tiles) for tiles, *_ in rows)
    width = MARGIN + columns * (tile + GAP)
    parts = [_header(titles[:columns], width, tile)]
    for tiles, name, line in rows:
        height = tiles[0].shape[0] + GAP
        row = np.full((height, width, 3), 255, np.uint8)
        for column, image in enumerate(tiles):
            x = MARGIN + column * (tile + GAP)
            row[GAP:, x : x + tile] = image
        write(row, name if len(name) <= 16 else f'{name[:15]}~', 6, height // 2 - 4)
        write(row, line, 6, height // 2 + 16, 0.5)
        parts.append(row)
    return np.concatenate(parts)


def _header(titles: Sequence[Any], width: int, tile: int) -> np.ndarray:
    header = np.full((HEADER, width, 3), 255, np.uint8)
    for column, title in enumerate(titles):
        x = MARGIN + column * (tile + GAP) + 2
        if isinstance(title, str):
            write(header, title, x, 20)
            continue
        for text, colour in title:
            cv2.rectangle(header, (x, 11), (x + 9, 20), colour, -1)
            x = write(header, text, x + 13, 20) + 8
    return header
