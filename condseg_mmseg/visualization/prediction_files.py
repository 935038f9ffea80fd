"""What a prediction is written as: masks, maps, contours, objects in numbers."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import mmcv
import numpy as np
from PIL import Image

from ..utils.files import replaced_at_once
from .contact_sheet import PREDICTED, enlarge, grey, heat, outline, stack_rows

_PNG_END = b'\0\0\0\0IEND\xaeB`\x82'


def write_png(
    path: str | Path, values: np.ndarray, palette: Sequence[Sequence[int]] | None = None
) -> None:
    """Write a PNG file at once, without waiting for the disk, and make its folder.

    Args:
        path: File.
        values: (H, W) uint8 or uint16, or RGB (H, W, 3) uint8.
        palette: Colours of the values, RGB. Default None: grey.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with replaced_at_once(path, sync=False) as temporary:
        if palette is None:  # OpenCV is twice as fast as Pillow
            pixels = values[..., ::-1] if values.ndim == 3 else values
            temporary.write_bytes(cv2.imencode('.png', pixels)[1].tobytes())
        else:
            image = Image.fromarray(values)
            image.putpalette([part for colour in palette for part in colour])
            image.save(temporary, compress_level=1)


def is_whole_png(path: Path) -> bool:
    """Whether a file of :func:`write_png` is there up to its end; a power cut may cut it off."""
    if not path.is_file():
        return False
    with path.open('rb') as file:
        file.seek(-min(len(_PNG_END), path.stat().st_size), os.SEEK_END)
        return file.read() == _PNG_END


def write_mask(path: str | Path, labels: np.ndarray, palette: Sequence[Sequence[int]]) -> None:
    """Write labels: of two classes as 0 and 255, of more as indices of the palette.

    Args:
        path: PNG file.
        labels: (H, W), uint8.
        palette: RGB of each class.
    """
    if len(palette) == 2:
        write_png(path, 255 * labels)
    else:
        write_png(path, labels, palette)


def read_labels(path: str | Path, binary: bool) -> np.ndarray:
    """Read what :func:`write_mask` wrote.

    Args:
        path: PNG file.
        binary: Whether it is of two classes.

    Returns:
        Labels, (H, W), uint8.
    """
    with Image.open(path) as image:
        values = np.array(image)
    return values // 255 if binary else values


def write_map(path: str | Path, values: np.ndarray) -> None:
    """Write values in 0..1 as a grey PNG of 16 bits, 65535 for 1."""
    write_png(path, np.rint(values * np.float32(65535)).astype(np.uint16))


def read_map(path: str | Path) -> np.ndarray:
    """Read what :func:`write_map` wrote."""
    with Image.open(path) as image:
        return np.array(image).astype(np.float32) / 65535


def read_picture(path: str | Path) -> np.ndarray:
    """Read an image as RGB, turned as its EXIF orientation says, as the pipelines do."""
    return mmcv.imread(str(path), channel_order='rgb')


def draw_overlay(
    image: np.ndarray,
    labels: np.ndarray,
    foreground: Sequence[int],
    palette: Sequence[Sequence[int]],
) -> np.ndarray:
    """Draw the contours of a mask over its image.

    Args:
        image: RGB (H, W, 3), uint8.
        labels: (H, W).
        foreground: Labels that are drawn.
        palette: RGB of each label. Of two classes the foreground has a colour of its own.

    Returns:
        RGB (H, W, 3), uint8.
    """
    width = image.shape[1]
    present = [label for label in foreground if (labels == label).any()]
    masks = [labels == label for label in present]
    colours = [PREDICTED if len(palette) == 2 else tuple(palette[label]) for label in present]
    return outline(image, width, masks, colours, thickness=max(1, round(width / 300)))


def objects(labels: np.ndarray, foreground: Sequence[int]) -> list[tuple[int, np.ndarray, tuple]]:
    """Find the objects: connected pixels, corners included, of one label.

    Args:
        labels: (H, W).
        foreground: Labels that count.

    Returns:
        Label, mask within the box (bool) and box (x, y, width, height) of each.
    """
    found = []
    for label in foreground:
        mask = (labels == label).astype(np.uint8)
        left, top, width, height = cv2.boundingRect(mask)
        if not width:
            continue
        mask = mask[top : top + height, left : left + width]
        number, parts, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
        for part in range(1, number):
            x, y, w, h = (int(value) for value in stats[part, :4])
            inside = parts[y : y + h, x : x + w] == part
            found.append((label, inside, (left + x, top + y, w, h)))
    return found


def describe(
    labels: np.ndarray, probability: np.ndarray, foreground: Sequence[int]
) -> dict[str, Any]:
    """Put a prediction into numbers.

    Args:
        labels: (H, W).
        probability: Of the labels, (H, W).
        foreground: Labels that count.

    Returns:
        ``width``, ``height``, ``area_pixels``, ``area_share`` (of the image, 0..1), ``objects``
        (their number), ``boxes`` (JSON: label, x, y, width, height of each) and
        ``mean_confidence`` (mean probability within the objects, empty without one).
    """
    table = np.zeros(256, np.uint8)
    table[list(foreground)] = 1
    inside = cv2.LUT(labels, table)
    area = cv2.countNonZero(inside)
    found = objects(labels, foreground)
    height, width = labels.shape
    return dict(
        width=width,
        height=height,
        area_pixels=area,
        area_share=f'{area / labels.size:.6f}',
        objects=len(found),
        boxes=json.dumps([[label, *box] for label, _, box in found]),
        mean_confidence=f'{cv2.mean(probability, inside)[0]:.6f}' if area else '',
    )


def draw_prediction_sheet(
    rows: Sequence[dict[str, Any]],
    foreground: Sequence[int],
    palette: Sequence[Sequence[int]],
    tile: int = 144,
) -> np.ndarray:
    """Draw image, prediction, contour and, where they were written, the maps of predictions.

    Args:
        rows: Of each image ``name``, ``image`` (file), ``mask`` (file), ``area_share``, and
            ``maps``: title -> file.
        foreground: Labels that count.
        palette: Colours of the labels; two mean masks of 0 and 255.
        tile: Width of a picture in pixels. Default 144.

    Returns:
        RGB, uint8.
    """
    drawn, binary = [], len(palette) == 2
    for row in rows:
        image, labels = read_picture(row['image']), read_labels(row['mask'], binary)
        small = enlarge(labels, tile, cv2.INTER_NEAREST_EXACT)
        tiles = [
            enlarge(image, tile),
            grey(small, foreground, -1) if binary else np.array(palette, np.uint8)[small],
            draw_overlay(enlarge(image, tile), small, foreground, palette),
            *(heat(read_map(path), tile) for path in row['maps'].values()),
        ]
        name = Path(row['name']).name
        drawn.append((tiles, name, f'area {100 * float(row["area_share"]):.1f} %'))
    titles = ['image', 'prediction', 'contour', *rows[0]['maps']]
    return stack_rows(drawn, titles, tile)
