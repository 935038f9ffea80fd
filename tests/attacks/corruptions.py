"""Pairs of image and mask of which one file is damaged or means something else: made by code."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

HEIGHT, WIDTH = 48, 64
CHANGED = ('flip', 'zeros', 'ones', 'removed', 'repeated')  # bytes within the file are others

# What no reader can find: the bytes are other, valid ones. PNG and deflated TIFF have checksums.
UNDETECTABLE = {
    'jpg': 'changed entropy-coded data or tables decode to other pixels, and JPEG has no checksum',
    'bmp': 'changed pixels or header, and BMP has no checksum',
    'tif': 'changed pixels or tags, and TIFF has no checksum',
    'tif-lzw': 'changed codes or tags are other, valid ones, and TIFF with LZW has no checksum',
    'jpg-progressive-cut-and-ended': 'cut between two scans and ended, it is a valid, coarser JPEG',
    'tif-deflate': 'changed tags: the checksum is of the pixels only',
}
_ENCODINGS = {
    'jpg': ('JPEG', 'jpg', dict(quality=92)),
    'jpg-progressive': ('JPEG', 'jpg', dict(quality=92, progressive=True)),
    'png': ('PNG', 'png', {}),
    'bmp': ('BMP', 'bmp', {}),
    'tif': ('TIFF', 'tif', {}),
    'tif-lzw': ('TIFF', 'tif', dict(compression='tiff_lzw')),
    'tif-deflate': ('TIFF', 'tif', dict(compression='tiff_adobe_deflate')),
}
_ENDS = {'jpg': b'\xff\xd9', 'png': b'\0\0\0\0IEND\xaeB`\x82'}


@dataclass(frozen=True)
class Corruption:
    """A pair of files, the role of the damaged one, and what it was before."""

    name: str
    role: str  # 'image' or 'mask'
    format: str  # key of the encodings
    kind: str
    files: dict[str, tuple[str, bytes]]  # role -> ending and content
    original: bytes  # of the damaged file

    @property
    def excuse(self) -> str:
        """Why it may be undetectable; an empty string if it has to be found."""
        key = self.format.split('-p')[0] if self.kind in CHANGED else f'{self.format}-{self.kind}'
        return UNDETECTABLE.get(key, '')


def scene(seed: int = 0) -> np.ndarray:
    grid = np.random.default_rng(seed).integers(20, 236, (9, 12, 3)).astype(np.uint8)
    return cv2.resize(grid, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)


def blob(value: int = 255) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[10:26, 20:44] = value
    return mask


def encode(array: np.ndarray, kind: str = 'PNG', **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, kind, **options)
    return file.getvalue()


def _by_opencv(array: np.ndarray, ending: str = '.png') -> bytes:
    return cv2.imencode(ending, array)[1].tobytes()


def _exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def _damaged(data: bytes, ending: str, positions: int) -> Iterator[tuple[str, str, bytes]]:
    """Give kind, position and content of each damage; ``positions`` of every kind."""
    length = len(data)
    hole = max(16, length // 12)
    yield 'empty', '', b''
    yield 'text', '', b'This is no picture.\n' * 20
    yield 'all-zeros', '', bytes(length)
    yield 'trailing', '', data + bytes(100)
    for number in range(positions):
        place = (number + 0.5) / positions
        at = int(place * length)
        yield 'cut', f'{place:.3f}', data[:at]
        if ending in _ENDS:
            yield 'cut-and-ended', f'{place:.3f}', data[:at] + _ENDS[ending]
        yield 'zeros', f'{place:.3f}', data[:at] + bytes(hole) + data[at + hole :]
        yield 'ones', f'{place:.3f}', data[:at] + b'\xff' * hole + data[at + hole :]
        yield 'removed', f'{place:.3f}', data[:at] + data[at + hole :]
        yield 'repeated', f'{place:.3f}', data[: at + hole] + data[at:]
    for number in range(2 * positions):
        at = int((number + 0.25) / (2 * positions) * length)
        changed = bytearray(data)
        changed[at] ^= 1 << number % 8
        yield 'flip', str(at), bytes(changed)


def _meant() -> Iterator[tuple[str, str, str, bytes]]:
    """Give role, kind, ending and content of whole files that mean something else."""
    image, mask, none = scene(), blob(), blob(0)
    flat = np.full_like(mask, 255)
    two = np.where(mask[..., None] > 0, np.uint8((255, 255, 0)), np.uint8((0, 0, 255)))
    white = np.where(mask[..., None] > 0, np.uint8((255, 255, 255)), np.uint8((0, 0, 255)))
    deep = image.astype(np.uint16)
    for ending in ('png', 'tif'):
        yield 'image', 'twelve-bits', ending, _by_opencv(deep * 16, f'.{ending}')
        yield 'image', 'twelve-bits-grey', ending, _by_opencv(deep[..., 0] * 16, f'.{ending}')
        yield 'mask', 'deep-rgb', ending, _by_opencv(np.dstack([mask] * 3) * np.uint16(257),
            f'.{ending}')  # fmt: skip
        yield 'mask', 'deep', ending, _by_opencv(mask * np.uint16(257), f'.{ending}')
        kind = 'PNG' if ending == 'png' else 'TIFF'
        yield 'mask', 'only-alpha', ending, encode(np.dstack([none] * 3 + [mask]), kind)
        yield 'mask', 'only-alpha-white', ending, encode(np.dstack([flat] * 3 + [mask]), kind)
        yield 'mask', 'only-alpha-grey', ending, encode(np.dstack([none, mask]), kind)
    for ending, kind in (('png', 'PNG'), ('bmp', 'BMP'), ('tif', 'TIFF'), ('jpg', 'JPEG')):
        yield 'mask', 'two-colours', ending, encode(two, kind)
        yield 'mask', 'white-on-blue', ending, encode(white, kind)
        yield 'mask', 'labels', ending, encode(blob(3), kind)
        yield 'mask', 'one-pixel', ending, encode(mask[:1, :1], kind)
        yield 'mask', 'other-size', ending, encode(mask[:, :-1], kind)
        yield 'image', 'one-pixel-wide', ending, encode(image[:, :1], kind)
        for wrong in ('WEBP', 'GIF'):
            yield 'image', f'{wrong}-inside', ending, encode(image, wrong)
            yield 'mask', f'{wrong}-inside', ending, encode(mask, wrong)
    floats = (image[..., 0] / 255).astype(np.float32)
    yield 'image', 'float', 'tif', encode(floats, 'TIFF')
    yield 'mask', 'float', 'tif', encode((mask / 255).astype(np.float32), 'TIFF')
    yield 'image', 'int32', 'tif', encode(image[..., 0].astype(np.int32), 'TIFF')
    pages = [Image.fromarray(image[::-1].copy())]
    yield 'image', 'two-pages', 'tif', encode(image, 'TIFF', save_all=True, append_images=pages)
    yield 'image', 'animated', 'png', encode(image, 'PNG', save_all=True, append_images=pages)
    for turn in (2, 3, 4):
        yield 'image', f'exif-{turn}', 'jpg', encode(image, 'JPEG', exif=_exif(turn))
    for turn in range(2, 9):
        yield 'mask', f'exif-{turn}', 'jpg', encode(mask, 'JPEG', exif=_exif(turn))


def corruptions(full: bool = False) -> list[Corruption]:
    """Make the damaged pairs, the same ones at each call.

    Args:
        full: Twenty positions of each kind of damage instead of two. Default False.

    Returns:
        One damaged file each, image or mask; its partner is sound.
    """
    sound = dict(image=('png', encode(scene())), mask=('png', encode(blob())))
    made: list[Corruption] = []

    def add(role: str, form: str, kind: str, place: str, file: tuple[str, bytes], was: bytes):
        name = f'{len(made):05}-{role}-{form}-{kind}-{place}'.rstrip('-').replace('.', '_')
        made.append(Corruption(name, role, form, kind, sound | {role: file}, was))

    for role, array in (('image', scene()), ('mask', blob())):
        for form, (kind, ending, options) in _ENCODINGS.items():
            data = encode(array, kind, **options)
            for damage, place, content in _damaged(data, ending, 20 if full else 2):
                add(role, form, damage, place, (ending, content), data)
    for role, kind, ending, content in _meant():
        add(role, ending, kind, '', (ending, content), b'')
    return made
