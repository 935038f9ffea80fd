"""Predicted objects in the JSON format of COCO's instances."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .prediction_files import objects


def run_lengths(mask: np.ndarray) -> list[int]:
    """Lengths of the runs of 0 and 1 in turn, the first of 0, column by column.

    Args:
        mask: (H, W), bool.

    Returns:
        COCO's uncompressed run-length encoding: the counts of ``segmentation``.
    """
    flat = np.concatenate([[False], mask.ravel(order='F')])
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    return np.diff([0, *changes.tolist(), mask.size]).tolist()


def coco_json(
    images: Iterable[tuple[str, np.ndarray]], classes: Sequence[str], foreground: Sequence[int]
) -> dict[str, Any]:
    """Describe predicted objects as COCO does: https://cocodataset.org/#format-data.

    Args:
        images: File name and labels (H, W) of each.
        classes: Name of each label.
        foreground: Labels that count.

    Returns:
        ``images``, ``annotations`` and ``categories``. An annotation is an object: connected
        pixels of one label. Its segmentation is a run-length encoding, which keeps holes and is
        exact; polygons would be neither.
    """
    entries: list[dict] = []
    annotations: list[dict] = []
    for number, (name, labels) in enumerate(images, 1):
        height, width = labels.shape
        entries.append(dict(id=number, file_name=name, width=width, height=height))
        for label, part, (x, y, w, h) in objects(labels, foreground):
            mask = np.zeros(labels.shape, bool)
            mask[y : y + h, x : x + w] = part
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=number,
                    category_id=label,
                    segmentation=dict(size=[height, width], counts=run_lengths(mask)),
                    area=int(part.sum()),
                    bbox=[x, y, w, h],
                    iscrowd=0,
                )
            )
    categories = [dict(id=label, name=classes[label], supercategory='') for label in foreground]
    return dict(images=entries, annotations=annotations, categories=categories)
