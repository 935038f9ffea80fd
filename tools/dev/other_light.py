"""Show the images of a list in other light, to see what scores it costs.

Every value v of 0..1 becomes v ** 2.2, which is darker, times what a camera set to daylight sees of
a halogen lamp, the sRGB colour of a black body at 3200 K. docs/results/plan.md fixes this.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from PIL import Image
from polyp_free import pairs

from condseg_mmseg.utils.files import write_text

GAMMA = 2.2
LAMP = (255, 190, 122)  # red, green, blue


def relight(image: np.ndarray) -> np.ndarray:
    """Change the light of an image, uint8 of shape (H, W, 3), red first."""
    values = np.outer((np.arange(256) / 255) ** GAMMA, LAMP).round().astype(np.uint8)
    return values[image, np.arange(3)]


def relight_all(source: Path, target: Path, names: str = 'val.txt') -> int:
    """Make the data set: changed images as PNG, the masks as they are; its list is written last.

    Args:
        source: Data set with ``images``, ``masks`` and the list.
        target: Folder of the new one.
        names: Name of the list. Default ``'val.txt'``.

    Returns:
        Number of images.
    """
    found = list(pairs(source, names))
    for kind in ('images', 'masks'):
        (target / kind).mkdir(parents=True, exist_ok=True)
    for name, image, mask in found:
        with Image.open(image) as opened:
            changed = relight(np.asarray(opened.convert('RGB')))
        Image.fromarray(changed).save(target / 'images' / f'{name}.png')
        shutil.copy(mask, target / 'masks')
    write_text(target / 'all.txt', ''.join(f'{name}\n' for name, *_ in found))
    return len(found)
