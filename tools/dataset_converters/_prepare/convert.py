"""Check every file first, then write what is not right yet.

    check:  source -> local path -> header, mask values, what OUT holds already
    write:  source -> local path -> copy, or 0/1 PNG -> temporary name -> os.replace

The main thread reads the sources in their own order, as a compressed tar must be read; threads do
the rest. Only a few files are under way at any time, whatever the size of the data set.
"""

from __future__ import annotations

import filecmp
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import mmcv
import numpy as np
from PIL import Image

from condseg_mmseg.datasets.files import displayed_size
from condseg_mmseg.utils.mask_values import channel_max, suspicion, to_grey

from .plan import Plan
from .sources import Entry

WORK_DIR = '.prepare'  # below OUT, for temporary files


@dataclass(frozen=True)
class Job:
    """A file to make: where from, what, where to.

    Attributes:
        entry: The file in its source.
        name: Name of the pair.
        is_mask: Whether it is a mask.
        target: Path of the result, relative to OUT.
    """

    __slots__ = ('entry', 'is_mask', 'name', 'target')
    entry: Entry
    name: str
    is_mask: bool
    target: str


@dataclass(frozen=True)
class Seen:
    """What the check found.

    Attributes:
        job: The file.
        size: Width and height as the loaders see it; (0, 0) if unreadable.
        problem: What makes the file unusable, or ''.
        doubt: Why its values may mean something else, or ''.
        foreground: Share of foreground in a mask.
        state: Of the target: 'new' (absent), 'right' or 'other' (differs).
    """

    __slots__ = ('doubt', 'foreground', 'job', 'problem', 'size', 'state')
    job: Job
    size: tuple[int, int]
    problem: str
    doubt: str
    foreground: float
    state: str


def jobs_of(plan: Plan) -> list[Job]:
    """Return the files of a plan, in the order in which the sources are read best."""
    jobs = []
    for pair in plan.pairs:
        ending = pair.image.name.rpartition('.')[2]
        jobs.append(Job(pair.image, pair.name, False, f'images/{pair.name}.{ending}'))
        jobs.append(Job(pair.mask, pair.name, True, f'masks/{pair.name}.png'))
    return sorted(jobs, key=lambda job: (str(job.entry.source.path), job.entry.order))


def read_mask(path: Path) -> np.ndarray:
    """Decode a mask as mmseg's ``LoadAnnotations`` does, palette indices included.

    Returns:
        (H, W) or (H, W, C), uint8; masks of one bit a pixel become 0 and 255.
    """
    mask = mmcv.imfrombytes(path.read_bytes(), flag='unchanged', backend='pillow')
    return mask.astype(np.uint8) * 255 if mask.dtype == bool else mask.astype(np.uint8)


def binarize(mask: np.ndarray, threshold: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Make 0/1 of a decoded mask.

    Args:
        mask: See :func:`read_mask`.
        threshold: The luminance above which a pixel is foreground; None: any channel above 0.

    Returns:
        The mask, (H, W), uint8, and the grey values it was made from.
    """
    grey = channel_max(mask) if threshold is None else to_grey(mask)
    return (grey > (threshold or 0)).astype(np.uint8), grey


def inspect(job: Job, path: Path, out: Path, threshold: int | None) -> Seen:
    """Look at one file, and at what OUT holds in its place; see :class:`Seen`."""
    target = out / job.target
    state, doubt, foreground = 'new', '', 0.0
    try:
        size = displayed_size(str(path), job.is_mask)
        if job.is_mask:
            binary, grey = binarize(read_mask(path), threshold)
            doubt, foreground = suspicion(grey, threshold), float(binary.mean())
    except Exception as error:  # Pillow raises many kinds, SyntaxError among them
        what = str(error) if isinstance(error, ValueError) else f'unreadable ({error})'
        return Seen(job, (0, 0), what.replace(str(path), job.entry.name), '', 0.0, 'new')
    if os.path.lexists(target):
        try:
            same = _holds(target, binary) if job.is_mask else filecmp.cmp(path, target, False)
        except Exception:  # not an image, or a folder
            same = False
        state = 'right' if same and not target.is_symlink() else 'other'
    return Seen(job, size, '', doubt, foreground, state)


def _holds(path: Path, mask: np.ndarray) -> bool:
    with Image.open(path) as image:
        return image.format == 'PNG' and image.mode == 'L' and np.array_equal(image, mask)


def make(job: Job, path: Path, out: Path, threshold: int | None) -> None:
    """Write one file under a temporary name and move it to its place."""
    target = out / job.target
    target.parent.mkdir(parents=True, exist_ok=True)
    if job.is_mask:
        binary, _ = binarize(read_mask(path), threshold)
        temporary = out / WORK_DIR / f'{job.entry.order}-{id(job)}.png'
        Image.fromarray(binary).save(temporary, 'PNG', compress_level=6)
    elif path.parent == out / WORK_DIR:
        temporary = path  # an archive's member lies there already
    else:
        temporary = out / WORK_DIR / f'{job.entry.order}-{id(job)}'
        shutil.copyfile(path, temporary)
    os.replace(temporary, target)


def process(
    jobs: Sequence[Job], function: Callable[[Job, Path], object], scratch: Path, workers: int
) -> Iterator[tuple[Job, object]]:
    """Fetch the files one after the other and apply a function to each in threads.

    Args:
        jobs: Files, in the order to read them.
        function: Takes the job and a local path.
        scratch: Folder for members of archives.
        workers: Threads.

    Yields:
        Each job and its result, in order; the ``OSError`` of a file that could not be fetched.
    """
    Image.init()  # loading Pillow's plug-ins is not thread-safe

    def one(job: Job, path: Path):
        try:
            return function(job, path)
        finally:
            if path.parent == scratch:
                path.unlink(missing_ok=True)

    def finish():
        job, result = waiting.popleft()
        return job, result.result() if isinstance(result, Future) else result

    waiting: deque[tuple[Job, Future | OSError]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for number, job in enumerate(jobs):
                ending = job.entry.name.rpartition('.')[2]
                try:
                    path = job.entry.source.fetch(job.entry, scratch / f'{number}.{ending}')
                    waiting.append((job, pool.submit(one, job, path)))
                except OSError as error:
                    waiting.append((job, error))
                if len(waiting) > 4 * workers:
                    yield finish()
            while waiting:
                yield finish()
        finally:
            for _, result in waiting:
                if isinstance(result, Future):
                    result.cancel()
