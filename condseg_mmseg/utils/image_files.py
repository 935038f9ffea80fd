"""What is wrong with one image file: by its header, and by decoding it as a strict reader would."""

from __future__ import annotations

import io
import os
import stat
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from PIL import Image

from .errors import UserError

SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff')
"""Image suffixes that are recognised, in any case."""

FORMATS = ('JPEG', 'MPO', 'PNG', 'BMP', 'DIB', 'TIFF')
"""What data sets hold, by Pillow's names."""

_EXIF_ORIENTATION = 0x0112
_TAIL = 4096  # bytes in which the end marker of a whole JPEG or PNG file is looked for
# Warnings of libjpeg about headers, and what its interface cannot name: the pixels may be whole.
_HARMLESS = ('Invalid SOS parameters', 'subsampling level', 'JFIF', 'Adobe', 'color conversion')
_COMPRESSION, _OFFSETS, _COUNTS = 259, 273, 279  # TIFF tags
_DEFLATE = (8, 32946)
_LEAST_16_BIT = 2**14  # an image of 16 bits whose values end below has lost its upper bits


class FileDefect(UserError):
    """An image file that cannot be used.

    Args:
        kind: As in the data doctor, such as ``'unreadable'``.
        what: One sentence without the file.
        path: The file, which the message begins with.
    """

    def __init__(self, kind: str, what: str, path: str) -> None:
        super().__init__(f'{path}: {what}')
        self.kind, self.what, self.path = kind, what, path

    def __reduce__(self) -> tuple:
        """Survive the way out of the worker of a dataloader."""
        return type(self), (self.kind, self.what, self.path)


@dataclass(frozen=True)
class Header:
    """What the header of a file says."""

    size: tuple[int, int]  # width and height in pixels, as the loaders see it
    mode: str  # Pillow's
    kind: str  # the format, such as 'JPEG'
    bits: int  # of a channel: 8 (or fewer), 16 or 32
    orientation: int  # of EXIF, 1 is upright

    def turned(self) -> str:
        """Say why its mask may not be turned as this image is; empty where its size shows that."""
        by_size = self.orientation >= 5 and self.size[0] != self.size[1]
        if self.orientation == 1 or by_size:
            return ''
        return (
            f'its EXIF orientation {self.orientation} turns it when it is loaded, and the size of '
            'its mask does not show whether that is turned too; store its pixels turned'
        )


def require_file(path: str | Path) -> None:
    """Raise an OSError unless a path leads to a file: a named pipe or a device would never end."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(f'{path} is no regular file')


def read_header(path: str, is_mask: bool = False, formats: Sequence[str] = FORMATS) -> Header:
    """Read the header of an image file and refuse what cannot be used.

    mmseg turns an image as its EXIF orientation says (``LoadImageFromFile``), but not a mask
    (``LoadAnnotations``). A file without the end marker of its format is decoded in full, so that
    truncated files are found, and sound ones cost one seek.

    Args:
        path: An image file.
        is_mask: Read as a mask. Default False.
        formats: Those that may be read, by Pillow's names. Default :data:`FORMATS`.

    Raises:
        FileDefect: It cannot be read or is truncated (``'unreadable'``); it has a format that is
            not read here, several pictures, or a side of one pixel (``'unusable'``); an image of
            more than 16 bits (``'image-values'``); a mask with an EXIF orientation
            (``'mask-exif'``), which would not be turned along with its image, or with more than 8
            bits a channel (``'mask-depth'``): mmseg casts masks to uint8, by which 256 becomes 0.
    """
    try:
        require_file(path)
        with Image.open(path) as image:
            bits, frames = _bits(image), getattr(image, 'n_frames', 1)
            orientation = image.getexif().get(_EXIF_ORIENTATION, 1) or 1
            size, kind = image.size, image.format or ''
            if kind in formats and _may_be_truncated(path, kind):
                image.load()
            turned = not is_mask and orientation >= 5
            header = Header(size[::-1] if turned else size, image.mode, kind, bits, orientation)
    except Exception as error:  # Pillow raises many kinds, SyntaxError among them
        raise _unreadable(error, path) from error
    defect = _unusable(header, frames if kind != 'MPO' else 1, formats) or (
        _unfit_mask(header) if is_mask else _unfit_image(header)
    )
    if defect:
        raise FileDefect(*defect, path)
    return header


def require_whole(path: str, is_mask: bool = False) -> None:
    """Decode a file more strictly than the loaders do, which fill up what is damaged.

    JPEG: any warning of libjpeg about its data is an error. PNG: checksums of all chunks, and
    enough rows. TIFF: as Pillow, and the checksum of every deflated strip. An image of 16 bits:
    the loader keeps the upper 8, which have to be used.

    Args:
        path: An image file that :func:`read_header` accepts.
        is_mask: Read as a mask. Default False.

    Raises:
        FileDefect: It is damaged (``'unreadable'``), or has 16 bits a channel of which the upper
            ones are empty (``'image-values'``), such as 12 bits in 16.
    """
    try:
        require_file(path)
        data = Path(path).read_bytes()
        highest = _decode(data, is_mask)
    except Exception as error:
        raise _unreadable(error, path) from error
    if highest is not None and highest < _LEAST_16_BIT:
        what = (
            f'its highest value is {highest} of 65535, so the upper 8 bits, which are loaded, '
            f'end at {highest >> 8}; scale it to 16 bits or store it with 8'
        )
        raise FileDefect('image-values', what, path)


def _decode(data: bytes, is_mask: bool) -> int | None:
    """Decode strictly; return the highest value of an image of 16 bits, None for any other."""
    if data[:2] == b'\xff\xd8':
        _decode_jpeg(data)
        return None
    with Image.open(io.BytesIO(data)) as image:
        kind, bits = image.format, _bits(image)
        image.verify()  # of a PNG, the checksums
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        if kind == 'TIFF':
            _inflate_strips(image, data)
    if is_mask and kind != 'PNG':  # a PNG that lacks rows is taken by Pillow
        return None
    pixels = _decode_by_opencv(data)
    return None if bits != 16 or is_mask else int(pixels.max(initial=0))


def _decode_by_opencv(data: bytes) -> np.ndarray:
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise OSError('OpenCV cannot decode it')
    return pixels


def _decode_jpeg(data: bytes) -> None:
    """Decode an eighth of the size: all data are read, little is computed."""
    try:
        colours = simplejpeg.decode_jpeg_header(data, strict=False)[2]
        space = 'CMYK' if colours in ('CMYK', 'YCCK') else 'GRAY'
        simplejpeg.decode_jpeg(data, space, min_height=1, min_width=1, min_factor=8)
    except ValueError as error:
        if not any(word in str(error) for word in _HARMLESS):
            raise
        with Image.open(io.BytesIO(data)) as image:
            image.load()
        _decode_by_opencv(data)


def _inflate_strips(image: Image.Image, data: bytes) -> None:
    """Compare the checksums of deflated strips, which libtiff does not reach."""
    tags = image.tag_v2  # type: ignore[attr-defined]
    if tags.get(_COMPRESSION) in _DEFLATE and _OFFSETS in tags:
        for start, count in zip(tags[_OFFSETS], tags[_COUNTS], strict=True):
            zlib.decompress(data[start : start + count])


def _unreadable(error: Exception, path: str) -> FileDefect:
    reason = ' '.join(str(error).split()) or type(error).__name__
    return FileDefect('unreadable', f'unreadable ({reason})', path)


def _unusable(header: Header, frames: int, formats: Sequence[str]) -> tuple[str, str] | None:
    if header.kind not in formats:
        what = (
            f'is a {header.kind} file, which is not read here; store it as PNG, JPEG, BMP or TIFF'
        )
    elif frames > 1:
        what = f'holds {frames} pictures, of which only the first is read; store that alone'
    elif min(header.size) < 2:
        what = 'is {} x {} pixels'.format(*header.size)
    else:
        return None
    return 'unusable', what


def _unfit_image(header: Header) -> tuple[str, str] | None:
    if header.bits <= 16:
        return None
    what = f"holds numbers of {header.bits} bits (Pillow's mode {header.mode}); store 8 bits"
    return 'image-values', what


def _unfit_mask(header: Header) -> tuple[str, str] | None:
    if header.orientation != 1:
        return 'mask-exif', (
            f'carries the EXIF orientation {header.orientation}, by which mmseg turns '
            'images but not masks; store its pixels turned'
        )
    if header.bits > 8:
        return 'mask-depth', (
            f"has more than 8 bits a pixel ({header.bits}, Pillow's mode {header.mode}), of which "
            'mmseg keeps the lowest 8; store it with 8 bits'
        )
    return None


def _bits(image: Image.Image) -> int:
    """Return the bits of a channel before the picture is loaded; 8 means 8 or fewer."""
    tile = getattr(image, 'tile', None)  # Pillow shows 16 bits of RGB as 8
    args = tile[0][3] if tile else ''
    raw = str(args[0]) if isinstance(args, tuple) else str(args)
    if ';16' in raw or image.mode.startswith('I;16'):
        return 16
    return 32 if image.mode in ('I', 'F') else 8


def _may_be_truncated(path: str, kind: str) -> bool:
    marker = {'JPEG': b'\xff\xd9', 'MPO': b'\xff\xd9', 'PNG': b'IEND'}.get(kind)
    with open(path, 'rb') as file:
        length = file.seek(0, os.SEEK_END)
        if kind == 'BMP':
            file.seek(2)
            return int.from_bytes(file.read(4), 'little') != length
        if marker is None:
            return True
        file.seek(max(0, length - _TAIL))
        return marker not in file.read()
