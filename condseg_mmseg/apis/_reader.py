"""From the names of images to what a model takes: finding, reading, the test pipeline."""

from __future__ import annotations

import glob
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.dataset import Compose
from torch.utils.data import DataLoader, Dataset

from ..datasets.files import FolderIndex
from ..utils.errors import UserError
from ..utils.files import leads_out
from ..utils.image_files import FORMATS, read_header, require_whole
from ..utils.text import first_ten

_LOADERS = ('LoadImageFromFile', 'LoadImageFromNDArray', 'InferencerLoader')
_RESIZES = ('Resize', 'ResizeWithMask', 'RandomResize', 'ResizeShortestEdge', 'ResizeToMultiple')


@dataclass(frozen=True)
class View:
    """One view of an image, after the pipeline.

    Attributes:
        inputs: (3, h, w); an array, as tensors would cross to another process in shared memory,
            which is short in many containers.
        meta: Of mmseg's data sample, ``ori_shape`` among it.
    """

    inputs: np.ndarray
    meta: dict[str, Any]


@dataclass(frozen=True)
class Item:
    """An image that was read, or the reason why not."""

    name: str
    views: list[View] = field(default_factory=list)
    error: str = ''


def inference_pipeline(cfg: Config, tta: bool = False, keep_size: bool = False) -> list[dict]:
    """Return the test pipeline of a config, for images without masks.

    Args:
        cfg: Config.
        tta: Return ``tta_pipeline``. Default False.
        keep_size: Leave out what resizes the image. Default False.

    Raises:
        UserError: There is none, or it does not begin with loading an image.
    """
    if tta:
        steps = cfg.get('tta_pipeline')
    else:
        dataset = (cfg.get('test_dataloader') or {}).get('dataset') or {}
        steps = dataset.get('pipeline') or cfg.get('test_pipeline')
    name = 'tta_pipeline' if tta else 'test_pipeline'
    if not steps:
        raise UserError(f'{cfg.filename} has no {name}')
    steps = _without(Config(dict(steps=steps)).to_dict()['steps'], keep_size)
    if _kind(steps[0]) not in _LOADERS:
        raise UserError(f'{name} of {cfg.filename} must begin with LoadImageFromFile')
    return [dict(steps[0], type='InferencerLoader'), *steps[1:]]


def _without(steps: Any, keep_size: bool) -> Any:
    """Leave out annotations and, on request, resizes, in nested lists too."""
    kept: list[Any] = []
    for step in steps:
        if isinstance(step, (list, tuple)):
            inner = _without(step, keep_size)
            kept += [inner] * bool(inner)
        elif 'Annotation' in _kind(step) or (keep_size and _kind(step) in _RESIZES):
            continue
        elif 'transforms' in step:
            kept.append(dict(step, transforms=_without(step['transforms'], keep_size)))
        else:
            kept.append(step)
    return kept


def _kind(step: Mapping[str, Any]) -> str:
    kind = step['type']
    return (kind if isinstance(kind, str) else kind.__name__).rpartition('.')[2]


class Reader:
    """Reads an image and runs a pipeline of :func:`inference_pipeline` on it.

    Args:
        pipeline: Its steps.
    """

    def __init__(self, pipeline: Sequence[dict]) -> None:
        self.load = Compose(pipeline[:1])
        self.steps = Compose(pipeline[1:])

    def __call__(self, image: str | Path | np.ndarray) -> list[View]:
        """Return the views of an image: one, or those of test-time augmentation.

        Args:
            image: File, which is turned as its EXIF orientation says, or BGR (H, W, 3) uint8.

        Raises:
            UserError: The file cannot be read, or the array is no such image.
        """
        if isinstance(image, np.ndarray):
            if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
                raise UserError(
                    f'an image must be uint8 of shape (H, W, 3), got {image.dtype} {image.shape}'
                )
            loaded = self.load(image)
        else:
            try:
                read_header(str(image), formats=(*FORMATS, 'WEBP'))
                require_whole(str(image))  # the loader fills up what is damaged
                loaded = self.load(str(image))
            except Exception as error:  # Pillow and OpenCV raise many kinds, of any file
                reason = ' '.join(str(error).split()) or type(error).__name__
                raise UserError(f'{image} cannot be read as an image: {reason}') from error
        data = self.steps(loaded)
        several = isinstance(data['inputs'], list)
        pairs = zip(data['inputs'], data['data_samples'], strict=True) if several else [
            (data['inputs'], data['data_samples'])
        ]  # fmt: skip
        return [View(inputs.numpy(), dict(sample.metainfo)) for inputs, sample in pairs]


class ImageFiles(Dataset):
    """The images of a run, for a loader whose processes read ahead.

    Args:
        files: Name -> file.
        read: Reader.
    """

    def __init__(self, files: Mapping[str, Path], read: Reader) -> None:
        self.files = list(files.items())
        self.read = read

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Item:
        """Read one; a file that cannot be read is an item with ``error``."""
        name, path = self.files[index]
        try:
            return Item(name, self.read(path))
        except UserError as error:
            return Item(name, error=str(error))

    def items(self, workers: int) -> Iterator[Item]:
        """Read all in order, in that many processes, or in this one (0)."""
        return iter(DataLoader(self, batch_size=None, num_workers=workers, collate_fn=_same))


def _same(item: Any) -> Any:
    return item


def find_images(sources: Sequence[str | Path], out: str | Path) -> dict[str, Path]:
    """Find the images that files, folders and globs mean.

    Args:
        sources: A folder means all its images, those of sub-folders too; a glob may hold ``**``.
        out: Folder of the outputs, which is left out.

    Returns:
        Name -> file, sorted. The name is the path, without ending, from the folder, or from the
        part of the glob before its first sign, or that of the file alone.

    Raises:
        UserError: A source means nothing, or two files have one name.
    """
    found: dict[str, set[str]] = defaultdict(set)
    below = os.path.join(os.path.realpath(out), '')
    for source in map(str, sources):
        pairs = list(_files(source))
        if not pairs:
            raise UserError(f'{source} is no image, no folder of images and no glob that fits any')
        for name, path in pairs:
            if leads_out(name):
                raise UserError(f'{source}: {path} lies outside of the part before the first sign')
            if not os.path.realpath(path).startswith(below):
                found[os.path.splitext(name)[0]].add(path)
    clashes = [
        f'{name}: {", ".join(sorted(paths))}'
        for name, paths in sorted(found.items())
        if len({os.path.realpath(path) for path in paths}) > 1
    ]
    if clashes:
        raise UserError(
            'images of one name would have one mask; give their common folder, or run them apart:'
            + first_ten(clashes, lines=True)
        )
    if not found:
        raise UserError(f'all images lie in --out {out}')
    return {name: Path(min(paths)) for name, paths in sorted(found.items())}


def _files(source: str) -> Iterator[tuple[str, str]]:
    """Name with its ending, and path, of what one source means."""
    if os.path.isdir(source):
        index = FolderIndex(source)
        webp = [file for file in index.not_read if file.lower().endswith('.webp')]
        for file in (*index.files, *webp):
            yield file, os.path.join(source, file)
    elif os.path.isfile(source):
        yield os.path.basename(source), source
    else:
        start = re.split(r'[*?\[]', source)[0].rpartition('/')[0]
        start = start or ('/' if source.startswith('/') else '.')
        for path in glob.glob(source, recursive=True):
            if os.path.isfile(path):
                yield os.path.relpath(path, start), path
