"""Find, match and read predictions that other programs have written as images."""

from __future__ import annotations

import os.path as osp
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from ..datasets.files import FolderIndex, has_image_suffix
from ..utils.errors import UserError
from ..utils.image_files import FileDefect, read_header
from ..utils.text import first_ten

MODES = ('auto', 'probability', 'label')
COLOUR = 32  # channels that differ by more are a picture in colours, not JPEG noise
LOW = 32  # highest value up to which a file may hold labels
NEAR = 32  # distance from 0 or 255 that JPEG noise explains; Kvasir-SEG has none further off

_LABELS = 'with --pred-mode label every pixel that is not black is foreground'


class FolderError(UserError):
    """Files that do not fit together; the message lists the first ten."""

    def __init__(self, what: str, problems: Sequence[str] = ()) -> None:
        super().__init__(what + first_ten(problems, lines=True))


@dataclass
class Pairs:
    """What is compared with what.

    Args:
        paths: Name, prediction and truth of each image.
        missing: Names of truths without a prediction.
        extra: Predictions without a truth, relative to their folder.
    """

    paths: list[tuple[str, str, str]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)


def match(
    predictions: FolderIndex,
    truths: FolderIndex,
    names: Sequence[str] | None = None,
    allow_missing: bool = False,
) -> Pairs:
    """Match predictions and truths by name (path in their folder, without ending).

    Args:
        predictions: Files of the predictions.
        truths: Files of the masks.
        names: The images to score. Default None: all truths.
        allow_missing: Leave out what has no counterpart. Default False.

    Returns:
        The pairs, and the names left out. With ``names``, other predictions are none of them.

    Raises:
        FolderError: A name is there twice, ambiguous or has no truth; or, unless
            ``allow_missing``, a truth has no prediction or a prediction no truth.
    """
    wanted = truths.names() if names is None else list(names)
    problems = [f'{name} is named {n} times' for name, n in Counter(wanted).items() if n > 1]
    pairs = Pairs()
    for name in dict.fromkeys(wanted):
        truth, prediction = (index.find(name) for index in (truths, predictions))
        for what, files in (('truth', truth), ('prediction', prediction)):
            if len(files) > 1:
                problems.append(f'{what} of {name} is ambiguous: {", ".join(files)}')
        if not truth:
            problems.append(f'{name} has no truth in {truths.folder}')
        elif not prediction:
            pairs.missing.append(name)
        else:
            path = osp.join(predictions.folder, prediction[0])
            stem = osp.splitext(name)[0] if has_image_suffix(name) else name
            pairs.paths.append((stem, path, osp.join(truths.folder, truth[0])))
    twice = [path for path, n in Counter(path for *_, path in pairs.paths).items() if n > 1]
    problems += [f'{path} is named twice, in two spellings' for path in twice]
    if names is None:
        used = {osp.abspath(path) for _, path, _ in pairs.paths}
        others = set(predictions.paths()) - used
        pairs.extra = sorted(osp.relpath(path, osp.abspath(predictions.folder)) for path in others)
    if not allow_missing:
        problems += [f'{name} has no prediction in {predictions.folder}' for name in pairs.missing]
        problems += [f'{path} has no truth in {truths.folder}' for path in pairs.extra]
    if problems:
        hint = '' if allow_missing else ' (--allow-missing leaves out what has no counterpart)'
        raise FolderError(f'predictions and truths do not match{hint}:', problems)
    if not pairs.paths:
        raise FolderError('no prediction has the name of a truth')
    return pairs


def check_files(
    pairs: Pairs, size: tuple[int, int] | str = 'truth', strict_size: bool = False
) -> int:
    """Read the headers of all files.

    Args:
        pairs: As matched.
        size: Size at which predictions are scored: height and width, ``'truth'`` (default) or
            ``'prediction'``.
        strict_size: Refuse predictions that would have to be resized. Default False.

    Returns:
        Number of predictions that have to be resized.

    Raises:
        FolderError: A file cannot be read or has an unfit format; a size is refused; or a
            prediction is the file of its truth, links followed.
    """
    problems: list[str] = []
    same, others = [], 0
    for name, prediction, truth in pairs.paths:
        sizes: list[tuple[int, int]] = []  # height, width
        for path in (prediction, truth):
            try:
                width, height = read_header(path, is_mask=True).size
                sizes.append((height, width))
            except FileDefect as defect:
                problems.append(str(defect))
        if len(sizes) < 2:
            continue
        if osp.samefile(prediction, truth):
            same.append(f'{prediction} is {truth}')
        scored = sizes[size == 'truth'] if isinstance(size, str) else size
        if sizes[0] != scored:
            others += 1
            if strict_size:
                have, want = (f'{h} x {w}' for h, w in (sizes[0], scored))
                problems.append(f'prediction of {name}: {have}, scored at {want} (height x width)')
    if same:
        raise FolderError(
            'PRED and GT share files, which would be scored against themselves:', same
        )
    if problems:
        raise FolderError('files cannot be scored:', problems)
    return others


def read_values(path: str) -> np.ndarray:
    """Read an image file as it is stored: grey values or palette indices, or colours.

    Returns:
        uint8, (H, W), or (H, W, 3) for a picture in colours. Alpha is dropped, and colours that
        are grey become so.

    Raises:
        UserError: Its pixels are neither grey, palette indices nor RGB, of 8 bits at most.
    """
    with Image.open(path) as image:
        if image.mode == '1':
            return np.array(image.convert('L'))
        if image.mode in ('L', 'P'):
            return np.array(image)
        if image.mode == 'LA':
            return np.array(image)[..., 0]
        if image.mode not in ('RGB', 'RGBA'):
            raise UserError(f"{path}: cannot score Pillow's mode {image.mode}; store it in 8 bits")
        colours = np.array(image)[..., :3]
        spread = colours.max(axis=-1).astype(int) - colours.min(axis=-1)
        if spread.max() > COLOUR:
            return colours
        return np.array(image.convert('RGB').convert('L'))


def detect_mode(paths: Sequence[str]) -> tuple[str, str]:
    """Find out what the values of the predictions mean, from all of them.

    Returns:
        The mode, ``'probability'`` or ``'label'``, and what was seen, in words.

    Raises:
        FolderError: The values fit neither, or some files hold 0 and 255 and others labels.
    """
    seen, seen_low = np.zeros((2, 256), np.int64)
    low: list[str] = []  # files that hold 0 and one low value
    high, coloured = '', []  # one that holds more
    for path in paths:
        values = read_values(path)
        if values.ndim == 3:
            coloured.append(f'{path} is in colours')
            continue
        counts = np.bincount(values.ravel(), minlength=256)
        seen += counts
        if values.max() > LOW:
            high = path
        elif counts[1:].any() and np.count_nonzero(counts) <= 2:
            low.append(path)
            seen_low += counts
    if coloured:
        raise FolderError(f'predictions must be grey; {_LABELS}:', coloured)
    highest = int(np.flatnonzero(seen)[-1])
    if highest == 0:
        return 'probability', 'all are 0: empty'
    if highest == 1:
        return 'label', 'labels 0 and 1'
    if highest <= LOW:
        raise FolderError(
            f'the highest value of all predictions is {highest}: if these are labels, of which all '
            'but 0 are foreground, give --pred-mode label; if they are grey values of 0..255, give '
            '--pred-mode probability'
        )
    seen -= seen_low
    binary = seen[NEAR : 256 - NEAR].sum() <= 0.001 * seen.sum()
    if binary and low:
        raise FolderError(
            f'the predictions have two scales: {high} is of 0..255, {low[0]} holds no value above '
            f'{LOW}, as labels do ({len(low)} of {len(paths)} files); with --pred-mode label all '
            'but 0 is foreground in all files, with --pred-mode probability v / 255 is the '
            'probability'
        )
    if seen[1:255].sum() == 0:
        return 'probability', 'binary, 0 and 255'
    if binary:
        return 'probability', 'binary, near 0 and 255'
    empty = f'; {len(low)} hold nothing above {LOW}, such as {low[0]}' if low else ''
    return 'probability', f'grey 0..255, read as probabilities v / 255{empty}'


def read_probability(path: str, mode: str) -> np.ndarray:
    """Read a prediction.

    Args:
        path: Image file.
        mode: ``'probability'`` (grey value / 255) or ``'label'`` (foreground where not 0).

    Returns:
        float32 in 0..1, (H, W).

    Raises:
        UserError: It is in colours, which have no probability.
    """
    values = read_values(path)
    if mode == 'label':
        values = values if values.ndim == 2 else values.max(axis=-1)
        return (values > 0).astype(np.float32)
    if values.ndim == 3:
        raise UserError(f'{path} is in colours; {_LABELS}')
    return (values / 255).astype(np.float32)
