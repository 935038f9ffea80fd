"""Find and check image files without decoding them."""

from __future__ import annotations

import os
import os.path as osp
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from PIL import Image

from ..utils.files import leads_out
from ..utils.image_files import SUFFIXES, FileDefect, Header, read_header, require_file
from ..utils.text import count, first, first_ten

_STORE = 'of a format that is not read here; store it as PNG, JPEG, BMP or TIFF'
_NOT_READ = ('.webp', '.gif', '.jp2', '.heic', '.avif', '.dcm', '.npy')


def has_image_suffix(name: str) -> bool:
    """Whether ``name`` ends with one of :data:`SUFFIXES`."""
    return name.lower().endswith(SUFFIXES)


def is_not_read(name: str) -> bool:
    """Whether ``name`` has the ending of a picture in a format that is not read here."""
    return name.lower().endswith(_NOT_READ)


def read_names(path: str) -> list[str]:
    """Read a list of names.

    Args:
        path: Text file, UTF-8 with or without a byte order mark, one name a line; lines end with
            LF, CRLF or CR. Empty lines and white space around a name are dropped.

    Returns:
        list[str]: The names, with forward slashes as in the file.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no UTF-8, or a name leads out of the folder: an absolute path, or ``..``.
    """
    require_file(path)
    with open(path, encoding='utf-8-sig', newline='') as file:
        lines = re.split(r'\r\n|\r|\n', file.read())
    names = [line.strip() for line in lines if line.strip()]
    outside = [name for name in names if leads_out(name)]
    if outside:
        raise ValueError(
            f'{count(len(outside), "name")} that leads out of the folder: {first_ten(outside)}; '
            'names are relative to it, without ..'
        )
    return names


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
        self.links: list[str] = []  # that were not followed
        self.not_read: list[str] = []  # pictures of other formats
        for root, files in walk(folder, self.links):
            relative = osp.relpath(root, folder).replace(os.sep, '/')
            for file in files:
                path = file if relative == '.' else f'{relative}/{file}'
                if file.startswith('.') or not (has_image_suffix(file) or self._ends(file)):
                    if is_not_read(file):
                        self.not_read.append(path)
                    continue
                self.files.add(path)
                self.by_stem.setdefault(osp.splitext(path)[0], []).append(path)

    def _ends(self, path: str) -> bool:
        return self.exact and path.endswith(self.suffix)

    def owns(self, path: str) -> bool:
        """Whether ``path`` (relative) ends with this index' suffix."""
        stem = path if self.exact else osp.splitext(path)[0]
        return stem.endswith(self.suffix)

    def names(self, masks: FolderIndex | None = None) -> list[str]:
        """Return the names (relative, without the suffix) of all files that fit it, sorted.

        Args:
            masks: Leave out the files that are masks by this index, in the same folder with a
                suffix, or in one below. Default None: none are.
        """
        paths = [path for path in self.files if self.owns(path)]
        cut = len(self.suffix)
        stems = {(p if self.exact else osp.splitext(p)[0])[: -cut or None] for p in paths}
        if masks is not None and (masks.suffix or masks.folder != self.folder):
            taken = set(masks.paths())
            stems = {stem for stem in stems if not taken.intersection(self.paths(stem))}
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

    def wanted(self, name: str) -> str:
        """Return the path that ``name`` should have."""
        return osp.join(self.folder, f'{name}{self.suffix}' + ('' if self.exact else '.*'))

    def hint(self, name: str) -> str:
        """Say what lies there for ``name`` in a format that is not read; else an empty string."""
        stems = (name + self.suffix, osp.splitext(name)[0])
        there = [file for file in self.not_read if osp.splitext(file)[0] in stems]
        return f' ({first(there, 1)} {_STORE})' if there else ''

    def notes(self) -> list[str]:
        """Say what was left out: links that are not followed, pictures of other formats."""
        found = []
        if self.links:
            found.append(
                f'{count(len(self.links), "link")} not followed, back into the folder or to files '
                f'that it holds already: {first_ten(self.links)}'
            )
        if self.not_read:
            number = count(len(self.not_read), 'file')
            found.append(f'{number} in {self.folder} {_STORE}: {first_ten(self.not_read)}')
        return found


def walk(folder: str, links: list[str] | None = None) -> Iterator[tuple[str, list[str]]]:
    """Give each folder from ``folder`` down once, with the names of its files, both sorted.

    A link to a folder is followed, unless it leads back into ``folder``, where the files have a
    path without the link, or to where another link has led before.

    Args:
        folder: Path of the folder.
        links: Gets the links that are not followed. Default None.

    Yields:
        Path of a folder, and the names of its files.
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
            elif links is not None:
                links.append(path)
        folders[:] = kept
        yield root, sorted(files)


def check_pairs(pairs: Iterable[tuple[str, str | None]], threads: int = 8) -> list[str]:
    """Check the headers of images and of their masks.

    Args:
        pairs: Paths of an image and of its mask, or None for no mask.
        threads: Files read at the same time; pays on network drives. Default 8.

    Returns:
        list[str]: One sentence per problem: what :func:`.read_header` refuses, a mask whose size is
        not its image's, or may not be turned as its image is. In the order of ``pairs``.
    """
    Image.init()  # loading Pillow's plug-ins is not thread-safe

    def check(pair: tuple[str, str | None]) -> list[str]:
        headers: list[Header] = []
        problems = []
        for path, is_mask in zip(pair, (False, True), strict=True):
            if path is None:
                continue
            try:
                headers.append(read_header(path, is_mask))
            except FileDefect as defect:
                problems.append(f'{"mask" if is_mask else "image"} {defect}')
        if len(headers) < 2:
            return problems
        (image, mask), sizes = pair, [header.size for header in headers]
        if sizes[0] != sizes[1]:
            text = 'size of mask {1} is {3[0]} x {3[1]}, of its image {0} {2[0]} x {2[1]}'
            problems.append(text.format(image, mask, *sizes))
        elif headers[0].turned():
            problems.append(f'image {image}: {headers[0].turned()}')
        return problems

    with ThreadPoolExecutor(threads) as pool:
        return [problem for problems in pool.map(check, pairs) for problem in problems]
