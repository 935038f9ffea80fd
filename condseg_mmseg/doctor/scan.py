"""Read every pair of image and mask once and keep a few numbers of it, never the pictures."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import mmcv
import numpy as np
from PIL import Image

from condseg_mmseg.datasets.load_binary_mask import read_mask
from condseg_mmseg.utils.image_files import (
    FileDefect,
    Header,
    read_header,
    require_file,
    require_whole,
)
from condseg_mmseg.utils.mask_values import one_channel

from .masks import MaskContent, MaskRule, content, encoding, foreground

THUMB = 32
"""Side of the small greys that near duplicates are found with, in pixels."""

_BLANK = 2.0  # standard deviation in grey levels below which an image is of one colour
_SAMPLE = 32  # masks looked at to find out how they are encoded

_SUFFIXES = {
    'JPEG': ('.jpg', '.jpeg'), 'MPO': ('.jpg', '.jpeg'), 'PNG': ('.png',), 'BMP': ('.bmp',),
    'DIB': ('.bmp',), 'TIFF': ('.tif', '.tiff'),
}  # fmt: skip

Pair = tuple[str | None, str | None]


@dataclass
class Scan:
    """What is kept of a pair; None is not known."""

    image: str | None  # path; None where it is missing
    mask: str | None
    problems: list[tuple[str, str, list[str]]] = field(default_factory=list)  # kind, detail, files
    size: tuple[int, int] | None = None  # width and height of the image as it is loaded
    mode: str | None = None  # Pillow's, of the image file
    turned: str = ''  # why the mask may not be turned as the image is
    digest: str | None = None  # of the decoded pixels: equal pictures have the same
    thumb: np.ndarray | None = None  # small grey, (32, 32), uint8
    colour: tuple[float, ...] | None = None  # mean of red, green and blue, 0..255
    spread: float | None = None  # standard deviation of the grey image
    mask_mode: str | None = None
    encoding: str | None = None  # see masks.encoding
    content: MaskContent | None = None  # of the cut mask
    mask_thumb: np.ndarray | None = None  # foreground share, (32, 32), uint8, 255 = all

    @property
    def file(self) -> str:
        """Path of the image, ``''`` where it is missing."""
        return self.image or ''

    def as_dict(self, splits: Sequence[str]) -> dict[str, Any]:
        """Return what the JSON file holds of the pair, which is in these splits."""
        width, height = self.size or (None, None)
        kept = ('mode', 'digest', 'spread', 'mask_mode', 'encoding')
        content = self.content
        return dict(
            image=self.image,
            mask=self.mask,
            splits=splits,
            width=width,
            height=height,
            colour=list(self.colour) if self.colour else None,
            **{name: getattr(self, name) for name in kept},
            foreground=round(content.share, 6) if content else None,
            objects=content.objects if content else None,
            tiny_objects=content.tiny if content else None,
            object_areas=list(content.areas) if content else None,
        )


def decode_mask(path: str, backend: str = 'pillow') -> np.ndarray:
    """Decode a mask by :func:`.read_mask`, unless it is a pipe or a device, which may never end."""
    require_file(path)
    return read_mask(path, backend)


def decode_image(path: str) -> np.ndarray:
    """Decode an image as mmseg's ``LoadImageFromFile`` does, BGR uint8, turned as EXIF says."""
    require_file(path)
    image = mmcv.imfrombytes(Path(path).read_bytes(), flag='color', backend='cv2')
    if image is None:
        raise ValueError('OpenCV cannot decode it')
    return image


def scan_pair(pair: Pair, rule: MaskRule, tiny: float) -> Scan:
    """Read one pair; whatever is wrong with it becomes a problem of the result.

    Args:
        pair: Paths of image and mask.
        rule: How the mask is read.
        tiny: Share of the picture below which an object is a speck.
    """
    scan = Scan(*pair)
    sizes = []
    for path, read in zip(pair, (_read_image, _read_mask), strict=True):
        if path is None:
            continue
        try:
            sizes.append(read(scan, path, rule, tiny))
        except FileDefect as defect:
            scan.problems.append((defect.kind, defect.what, [path]))
        except Exception as error:  # decoders raise many kinds; none may hide other files
            scan.problems.append(('unreadable', _sentence(error), [path]))
    if len(sizes) == 2 and sizes[0] != sizes[1]:
        detail = 'the mask is {1[0]} x {1[1]}, its image {0[0]} x {0[1]}'.format(*sizes)
        scan.problems.append(('size-mismatch', detail, [path for path in pair if path]))
    elif scan.turned and len(sizes) == 2:
        scan.problems.append(('image-turned', scan.turned, [path for path in pair if path]))
    return scan


def _sentence(error: Exception) -> str:
    return ' '.join(str(error).split()) or type(error).__name__


def _header(scan: Scan, path: str, is_mask: bool = False) -> Header:
    header = read_header(path, is_mask)
    suffixes = _SUFFIXES.get(header.kind, ())
    if not path.lower().endswith(suffixes):
        scan.problems.append(('other-suffix', f'a {header.kind} file, read as that', [path]))
    return header


def _read_image(scan: Scan, path: str, rule: MaskRule, tiny: float) -> tuple[int, int]:
    header = _header(scan, path)
    scan.mode, scan.turned = header.mode, header.turned()
    require_whole(path)
    image = decode_image(path)
    height, width = image.shape[:2]
    scan.size = (width, height)
    digest = hashlib.blake2b(repr(image.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(image).data)
    scan.digest = digest.hexdigest()
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    scan.thumb = cv2.resize(grey, (THUMB, THUMB), interpolation=cv2.INTER_AREA)
    scan.colour = tuple(round(value, 1) for value in cv2.mean(image)[2::-1])
    scan.spread = round(float(cv2.meanStdDev(grey)[1][0, 0]), 2)
    if header.orientation != 1:
        detail = f'EXIF orientation {header.orientation}; look whether its mask agrees'
        scan.problems.append(('image-exif', detail, [path]))
    if header.bits > 8:
        detail = f'{header.bits} bits (mode {scan.mode}): the loader keeps the upper 8'
        scan.problems.append(('image-depth', detail, [path]))
    if scan.spread < _BLANK:
        detail = f'standard deviation {scan.spread:.1f} of 255 grey levels'
        scan.problems.append(('image-blank', detail, [path]))
    return scan.size


def _read_mask(scan: Scan, path: str, rule: MaskRule, tiny: float) -> tuple[int, int]:
    header = _header(scan, path, is_mask=True)
    scan.mask_mode = header.mode
    require_whole(path, is_mask=True)
    mask = decode_mask(path, rule.backend)
    size = (mask.shape[1], mask.shape[0])
    scan.encoding = encoding(one_channel(mask))
    classes, reason = foreground(mask, rule)
    scan.content = measured = content(classes, tiny)
    inside = 255 * (classes == 1).astype(np.uint8)
    scan.mask_thumb = cv2.resize(inside, (THUMB, THUMB), interpolation=cv2.INTER_AREA)
    if reason:
        scan.problems.append(('mask-values', reason, [path]))
        return size  # what is cut wrongly need not be judged as well
    if measured.kind:
        detail = f'foreground {100 * measured.share:.1f} % of the picture'
        if measured.kind == 'mask-inverted':
            detail += f' and {100 * measured.border:.0f} % of its rim'
        scan.problems.append((measured.kind, detail, [path]))
    if measured.tiny:
        number = len(measured.areas) if measured.tiny < 100 else measured.tiny + measured.objects
        where = ', '.join(f'{area} px at ({x}, {y})' for area, x, y in measured.specks)
        more = ', ...' if measured.tiny > len(measured.specks) else ''
        detail = f'{measured.tiny} of {number} objects: {where}{more}'
        scan.problems.append(('tiny-object', detail, [path]))
    return size


def guess_rule(masks: Sequence[str], rule: MaskRule) -> MaskRule:
    """Find out how the masks of a data set are encoded from a few of them, evenly spaced.

    Args:
        masks: Paths of all masks.
        rule: Its ``backend`` decodes them.

    Returns:
        ``rule`` with the mode ``'nonzero'`` if most of those that show it are 0/1 or labels, else
        with ``'threshold'``.
    """
    places = np.linspace(0, len(masks) - 1, min(len(masks), _SAMPLE)).round().astype(int)
    votes: Counter[str] = Counter()
    for place in places:
        try:
            found = encoding(one_channel(decode_mask(masks[place], rule.backend)))
        except Exception:  # the scan reports it
            continue
        votes['nonzero' if found in ('0/1', 'labels') else 'threshold'] += found != 'empty'
    mode = 'nonzero' if votes['nonzero'] > votes['threshold'] else 'threshold'
    return replace(rule, mode=mode, origin='found')


def scan_all(
    jobs: Sequence[tuple[Pair, MaskRule]],
    tiny: float,
    workers: int,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[Scan]:
    """Scan many pairs with threads; memory does not grow with the size of the pictures.

    Args:
        jobs: Pairs and their rules.
        tiny: Share of the picture below which an object is a speck.
        workers: Threads, >= 1.
        progress: Called after every pair with ``'reading'``, their number and that of all.
    """
    Image.init()  # loading Pillow's plug-ins is not thread-safe
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # the threads are ours
    scans = []
    try:
        with ThreadPoolExecutor(workers) as pool:
            for scan in pool.map(lambda job: scan_pair(job[0], job[1], tiny), jobs):
                scans.append(scan)
                if progress:
                    progress('reading', len(scans), len(jobs))
    finally:
        cv2.setNumThreads(threads)
    return scans


def default_workers() -> int:
    """Return the number of threads used if none is given: the CPUs, 8 at most."""
    return min(8, os.cpu_count() or 1)
