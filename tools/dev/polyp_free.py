"""Cut out of each image the largest rectangle without a polyp, to count false alarms on.

A side of a crop is at least a third of the image's; an image without such a rectangle has no crop.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from condseg_mmseg.datasets.files import read_names
from condseg_mmseg.evaluation.truth_reader import TruthReader
from condseg_mmseg.utils.files import write_text


class Rectangle(NamedTuple):
    """A part of an image, in pixels."""

    top: int
    left: int
    height: int
    width: int


def largest_empty(mask: np.ndarray, share: float = 1 / 3) -> Rectangle | None:
    """Find the rectangle of most pixels in which the mask is 0.

    Args:
        mask: Any type, shape (H, W).
        share: Least height and width, as shares of the mask's. Default 1/3.

    Returns:
        The first of the largest, by its last row, then by its last column. None where there is
        no such rectangle.
    """
    height, width = mask.shape
    found = (
        rectangle
        for rectangle in _maximal(np.asarray(mask) == 0)
        if rectangle.height >= share * height and rectangle.width >= share * width
    )
    return max(found, key=lambda r: r.height * r.width, default=None)


def _maximal(empty: np.ndarray) -> Iterator[Rectangle]:
    """Rectangles of True that a row below ends and that grow to no other side."""
    heights = np.zeros(empty.shape[1], int)
    for row, line in enumerate(empty):
        heights = np.where(line, heights + 1, 0)  # of the columns of True that end in this row
        starts: list[tuple[int, int]] = []  # first column and height, heights rising
        for column, height in enumerate([*heights.tolist(), 0]):
            first = column
            while starts and starts[-1][1] >= height:
                first, tall = starts.pop()
                if tall > height:
                    yield Rectangle(row + 1 - tall, first, tall, column - first)
            starts.append((first, height))


def pairs(source: Path, names: str) -> Iterator[tuple[str, Path, Path]]:
    """Name, image and mask of every line of a list of a data set."""
    for name in read_names(str(source / names)):
        (image,), (mask,) = (
            list((source / kind).glob(f'{name}.*')) for kind in ('images', 'masks')
        )
        yield name, image, mask


def cut(source: Path, target: Path, names: str = 'val.txt') -> int:
    """Make the data set of crops.

    Args:
        source: Data set with ``images``, ``masks`` and the list.
        target: Folder of crops as PNG, empty masks, ``crops.csv``, which says where they were, and
            ``all.txt``, the list, which is written last.
        names: Name of the list. Default ``'val.txt'``.

    Returns:
        Number of crops.
    """
    read, rows = TruthReader('auto'), []
    for name, image, mask in pairs(source, names):
        found = largest_empty(read(str(mask)))
        if found is None:
            continue
        top, left, height, width = found
        with Image.open(image) as opened:
            crop = opened.convert('RGB').crop((left, top, left + width, top + height))
        for kind, picture in (('images', crop), ('masks', Image.new('L', crop.size))):
            (target / kind).mkdir(parents=True, exist_ok=True)
            picture.save(target / kind / f'{name}.png')
        rows.append((name, *found))
    lines = [','.join(map(str, row)) for row in (('img_path', *Rectangle._fields), *rows)]
    write_text(target / 'crops.csv', '\n'.join(lines) + '\n')
    write_text(target / 'all.txt', ''.join(f'{row[0]}\n' for row in rows))
    return len(rows)
