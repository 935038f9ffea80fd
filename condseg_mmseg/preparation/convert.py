"""Check every file first, then write what is not right yet.

    check:  source -> local path -> header, mask values, what OUT holds already
    write:  source -> local path -> copy, or 0/1 PNG

The main thread reads the sources in their own order, as a compressed tar must be read; threads do
the rest. Only a few files are under way at any time, whatever the size of the data set.
"""

from __future__ import annotations

import contextlib
import filecmp
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import mmcv
import numpy as np
from PIL import Image

from condseg_mmseg.datasets.load_binary_mask import binarize
from condseg_mmseg.utils.files import replaced_at_once
from condseg_mmseg.utils.image_files import FileDefect, read_header, require_file, require_whole
from condseg_mmseg.utils.mask_values import misfit, one_channel

from .plan import Plan
from .sources import Entry

T = TypeVar('T')


@dataclass(frozen=True, slots=True)
class Job:
    """A file to make."""

    entry: Entry  # the file in its source
    name: str  # of the pair
    is_mask: bool
    target: str  # path of the result, relative to OUT


@dataclass(frozen=True, slots=True)
class Seen:
    """What the check found."""

    job: Job
    size: tuple[int, int] = (0, 0)  # width and height as the loaders see it; 0 if unreadable
    turned: str = ''  # why the mask of this image may not be turned as it is
    problem: str = ''  # what makes the file unusable
    doubt: str = ''  # why its values may mean something else
    foreground: float = 0.0  # share of foreground in a mask
    border: float = 0.0  # the same of its outermost pixels
    state: str = 'new'  # of the target: 'new' (absent), 'right' or 'other' (differs)


def jobs_of(plan: Plan) -> list[Job]:
    """Return the files of a plan, in the order in which the sources are read best."""
    jobs = []
    for pair in plan.pairs:
        ending = pair.image.name.rpartition('.')[2]
        jobs.append(Job(pair.image, pair.name, False, f'images/{pair.name}.{ending}'))
        jobs.append(Job(pair.mask, pair.name, True, f'masks/{pair.name}.png'))
    return sorted(jobs, key=lambda job: (str(job.entry.source.path), job.entry.order))


def read_binary(path: Path, threshold: int | None) -> tuple[np.ndarray, str]:
    """Read a mask as mmseg's ``LoadAnnotations`` does, and make it 0/1.

    Args:
        path: Image file. A mask of one bit a pixel is taken as 0 and 255.
        threshold: Foreground is a luminance above it; None: any channel above 0.

    Returns:
        The mask, (H, W), uint8, and why its values may mean something else.
    """
    mask = mmcv.imfrombytes(path.read_bytes(), flag='unchanged', backend='pillow')
    mask = one_channel(mask.astype(np.uint8) * (255 if mask.dtype == bool else 1))
    mode, cut = ('nonzero', 0) if threshold is None else ('threshold', threshold)
    return binarize(mask, mode, cut), misfit(mask, mode, cut)


def inspect(job: Job, path: Path, out: Path, threshold: int | None) -> Seen:
    """Look at one file, and at what OUT holds in its place; see :class:`Seen`.

    Args:
        job: The file to make.
        path: Where its original is now.
        out: OUT.
        threshold: As of :func:`read_binary`.
    """
    target, binary = out / job.target, np.empty(0)
    state, doubt, shares = 'new', '', (0.0, 0.0)
    try:
        header = read_header(str(path), job.is_mask)
        require_whole(str(path), job.is_mask)
        if job.is_mask:
            binary, doubt = read_binary(path, threshold)
            rim = np.concatenate([binary[0], binary[-1], binary[:, 0], binary[:, -1]])
            shares = float(binary.mean()), float(rim.mean())
        elif mmcv.imfrombytes(path.read_bytes(), backend='cv2') is None:
            return Seen(job, problem='unreadable (OpenCV cannot decode it)')
    except Exception as error:  # decoders raise many kinds; none may hide other files
        what = error.what if isinstance(error, FileDefect) else f'unreadable ({error})'
        return Seen(job, problem=what.replace(str(path), job.entry.name))
    if os.path.lexists(target):
        try:
            same = _holds(target, binary) if job.is_mask else filecmp.cmp(path, target, False)
        except Exception:  # not an image, or a folder
            same = False
        state = 'right' if same and not target.is_symlink() else 'other'
    turned = '' if job.is_mask else header.turned()
    return Seen(job, header.size, turned, '', doubt, *shares, state)


def _holds(path: Path, mask: np.ndarray) -> bool:
    require_file(path)
    with Image.open(path) as image:
        return (
            image.format == 'PNG' and image.mode == 'L' and np.array_equal(np.asarray(image), mask)
        )


@contextlib.contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Write a file at once, make its folder, and replace a link rather than what it leads to."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink():
        path.unlink()
    with replaced_at_once(path) as temporary:
        yield temporary


def make(job: Job, path: Path, out: Path, threshold: int | None) -> None:
    """Write one file; arguments as of :func:`inspect`."""
    with replaced(out / job.target) as temporary:
        if job.is_mask:
            binary, _ = read_binary(path, threshold)
            Image.fromarray(binary).save(temporary, 'PNG', compress_level=6)
        else:
            shutil.copyfile(path, temporary)


def process(
    jobs: Sequence[Job], function: Callable[[Job, Path], T], workers: int
) -> Iterator[tuple[Job, T | OSError]]:
    """Fetch the files one after the other and apply a function to them in threads.

    Args:
        jobs: The files, in the order of their sources.
        function: Takes a job and the path of its original.
        workers: Threads.

    Yields:
        Each job and its result, in order; the ``OSError`` of a file that could not be fetched.
    """
    Image.init()  # loading Pillow's plug-ins is not thread-safe

    def one(job: Job, path: Path | OSError) -> T | OSError:
        if isinstance(path, OSError):
            return path
        try:
            return function(job, path)
        finally:
            if path.parent == folder:
                path.unlink(missing_ok=True)

    def fetch(number: int, job: Job) -> Path | OSError:
        ending = job.entry.name.rpartition('.')[2]
        try:
            return job.entry.source.fetch(job.entry, folder / f'{number}.{ending}')
        except OSError as error:
            return error

    step = 16 * workers
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(workers) as pool:
        folder = Path(scratch)
        for start in range(0, len(jobs), step):
            part = jobs[start : start + step]
            paths = [fetch(number, job) for number, job in enumerate(part)]
            yield from zip(part, pool.map(one, part, paths), strict=True)
