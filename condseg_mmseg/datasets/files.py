"""Find and check image files without decoding them."""

from __future__ import annotations

import os
import os.path as osp
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from PIL import Image

SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff')
"""Image suffixes that are recognised, in any case."""

_EXIF_ORIENTATION = 0x0112
_DEEP_MODES = ('I', 'F')  # of Pillow, I;16 and its byte orders too: more than 8 bits a pixel
_TAIL = 4096  # bytes in which the end marker of a whole JPEG or PNG file is looked for


def has_image_suffix(name: str) -> bool:
    """Whether ``name`` ends with one of :data:`SUFFIXES`."""
    return name.lower().endswith(SUFFIXES)


def read_names(path: str) -> list[str]:
    """Read a list of names.

    Args:
        path: Text file, UTF-8 with or without a byte order mark, one name a line; lines end with
            LF, CRLF or CR. Empty lines and white space around a name are dropped.

    Returns:
        list[str]: The names, with forward slashes as in the file.
    """
    with open(path, encoding='utf-8-sig', newline='') as file:
        lines = re.split(r'\r\n|\r|\n', file.read())
    return [line.strip() for line in lines if line.strip()]


class FolderIndex:
    """The image files of a folder and its sub-folders, by stem.

    The folder is read once, so that resolving N names costs no further system call. Linked folders
    are followed, but no file is listed twice: see :func:`walk`.

    Args:
        folder: Path of the folder.
        suffix: ``None``: any of :data:`SUFFIXES`. A suffix with an ending (``'_mask.png'``): the
            file is exactly name + suffix. One without (``'_mask'``): name + suffix + any ending.

    Raises:
        FileNotFoundError: If the folder does not exist.
    """

    def __init__(self, folder: str, suffix: str | None = None) -> None:
        if not osp.isdir(folder):
            raise FileNotFoundError(f'no such folder: {folder}')
        self.folder = folder
        self.suffix = suffix or ''
        self.exact = '.' in self.suffix
        self.files: set[str] = set()
        self.by_stem: dict[str, list[str]] = {}
        for root, files in walk(folder):
            relative = osp.relpath(root, folder).replace(os.sep, '/')
            for file in files:
                if file.startswith('.') or not (has_image_suffix(file) or self._ends(file)):
                    continue
                path = file if relative == '.' else f'{relative}/{file}'
                self.files.add(path)
                self.by_stem.setdefault(osp.splitext(path)[0], []).append(path)

    def _ends(self, path: str) -> bool:
        return self.exact and path.endswith(self.suffix)

    def owns(self, path: str) -> bool:
        """Whether ``path`` (relative) ends with this index' suffix."""
        stem = path if self.exact else osp.splitext(path)[0]
        return stem.endswith(self.suffix)

    def names(self) -> list[str]:
        """Return the names (relative, without the suffix) of all files that fit it, sorted."""
        paths = [path for path in self.files if self.owns(path)]
        cut = len(self.suffix)
        stems = {(p if self.exact else osp.splitext(p)[0])[: -cut or None] for p in paths}
        return sorted(stems)

    def paths(self, name: str | None = None) -> list[str]:
        """Return the full paths of the files that ``name`` means; by default of all that fit."""
        found = filter(self.owns, self.files) if name is None else self.find(name)
        return [osp.abspath(osp.join(self.folder, path)) for path in found]

    def find(self, name: str) -> list[str]:
        """Return the relative paths of the files that ``name`` means.

        Args:
            name: Stem; where no file has it, it may also be a file name with its ending.

        Returns:
            list[str]: No entry (missing), one, or several (ambiguous).
        """
        if self.exact:
            path = name + self.suffix
            return [path] if path in self.files else []
        found = self.by_stem.get(name + self.suffix, [])
        if not found and has_image_suffix(name):
            stem, ending = osp.splitext(name)
            found = [p for p in (stem + self.suffix + ending, name) if p in self.files][:1]
            found = found or self.by_stem.get(stem + self.suffix, [])
        return found


def walk(folder: str) -> Iterator[tuple[str, list[str]]]:
    """Give each folder from ``folder`` down once, with the names of its files, both sorted.

    A link to a folder is followed, unless it leads back into ``folder``, where the files have a
    path without the link, or to where another link has led before.
    """
    top = osp.realpath(folder)
    seen = {top}
    for root, folders, files in os.walk(folder, followlinks=True):
        kept = []
        for name in sorted(folders):
            path = osp.join(root, name)
            real = osp.realpath(path)
            back = osp.islink(path) and osp.join(real, '').startswith(osp.join(top, ''))
            if real not in seen and not back:
                seen.add(real)
                kept.append(name)
        folders[:] = kept
        yield root, sorted(files)


def displayed_size(path: str, is_mask: bool = False) -> tuple[int, int]:
    """Return the size that mmseg's loaders will give a file, reading little more than its header.

    mmseg turns an image as its EXIF orientation says (``LoadImageFromFile``), but not a mask
    (``LoadAnnotations``). A file without the end marker of its format is decoded in full, so that
    truncated files are found at the price of a seek for sound ones.

    Args:
        path: An image file.
        is_mask: Read as a mask. Default False.

    Returns:
        tuple[int, int]: Width and height in pixels.

    Raises:
        OSError: If the file cannot be read, is no image or is truncated.
        ValueError: If it is a mask with an EXIF orientation: it would not be turned along with
            its image. Or one with more than 8 bits a pixel: mmseg casts masks to uint8, by which
            256 becomes 0.
    """
    with Image.open(path) as image:
        orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
        size, mode = image.size, image.mode
        if _may_be_truncated(path, image.format):
            image.load()
    if is_mask and orientation not in (0, 1):
        raise ValueError(
            f'carries the EXIF orientation {orientation}, by which mmseg turns '
            'images but not masks; store its pixels turned'
        )
    if is_mask and mode.split(';')[0] in _DEEP_MODES:
        raise ValueError(
            f"has more than 8 bits a pixel (Pillow's mode {mode}), of which mmseg keeps the lowest "
            '8; store it with 8 bits'
        )
    return size[::-1] if not is_mask and orientation in (5, 6, 7, 8) else size


def _may_be_truncated(path: str, kind: str | None) -> bool:
    marker = {'JPEG': b'\xff\xd9', 'MPO': b'\xff\xd9', 'PNG': b'IEND'}.get(kind or '')
    with open(path, 'rb') as file:
        length = file.seek(0, os.SEEK_END)
        if kind == 'BMP':
            file.seek(2)
            return int.from_bytes(file.read(4), 'little') != length
        if marker is None:
            return True
        file.seek(max(0, length - _TAIL))
        return marker not in file.read()


def check_pairs(pairs: Iterable[tuple[str, str | None]], threads: int = 8) -> list[str]:
    """Check the headers of images and of their masks.

    Args:
        pairs: Paths of an image and of its mask, or None for no mask.
        threads: Files read at the same time; pays on network drives. Default 8.

    Returns:
        list[str]: One sentence per problem: a file that cannot be read, a mask whose size is not
        its image's. In the order of ``pairs``.
    """
    Image.init()  # loading Pillow's plug-ins is not thread-safe

    def check(pair: tuple[str, str | None]) -> list[str]:
        sizes, problems = [], []
        for path, is_mask in zip(pair, (False, True), strict=True):
            if path is None:
                continue
            try:
                sizes.append(displayed_size(path, is_mask))
            except Exception as error:  # Pillow raises many kinds, SyntaxError among them
                what = str(error) if isinstance(error, ValueError) else f'unreadable ({error})'
                problems.append(f'{"mask" if is_mask else "image"} {path}: {what}')
        if len(sizes) == 2 and sizes[0] != sizes[1]:
            problems.append(
                'size of mask {1} is {3[0]} x {3[1]}, of its image {0} {2[0]} x {2[1]}'.format(
                    *pair, *sizes
                )
            )
        return problems

    with ThreadPoolExecutor(threads) as pool:
        return [problem for problems in pool.map(check, pairs) for problem in problems]
