"""How masks are read, and what one mask holds."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from condseg_mmseg.datasets.load_binary_mask import binarize
from condseg_mmseg.utils.mask_values import (
    IGNORE,
    channel_max,
    mask_kind,
    misfit,
    one_channel,
    only_in_alpha,
    suspicion,
    to_grey,
)


@dataclass(frozen=True)
class MaskRule:
    """How the values of masks become foreground.

    The modes are ``'threshold'``, ``'nonzero'`` and ``'auto'`` as in ``LoadBinaryMask``,
    ``'labels'`` (the values are the classes), and ``'guess'`` (still to be found from the masks).
    """

    mode: str = 'guess'
    threshold: int = 127
    ignore_index: int | None = None  # value in the file that is ignored
    num_classes: int | None = None  # of the mode 'labels', if known
    reduce_zero_label: bool = False  # as in mmseg, of the mode 'labels'
    backend: str = 'pillow'  # as imdecode_backend of LoadAnnotations
    origin: str = 'found'  # where the rule comes from, for the report

    def __str__(self) -> str:
        """Say it in words."""
        what = {
            'threshold': f'foreground > {self.threshold}',
            'nonzero': 'foreground > 0',
            'auto': '0/1 or 0/255, each by itself',
            'labels': 'values are classes',
            'guess': 'not known',
        }[self.mode]
        ignored = '' if self.ignore_index is None else f', {self.ignore_index} ignored'
        return f'{what}{ignored} ({self.origin})'


def foreground(mask: np.ndarray, rule: MaskRule) -> tuple[np.ndarray, str]:
    """Cut a decoded mask as the pipeline will.

    Args:
        mask: (H, W) or (H, W, C), uint8.
        rule: How it is read.

    Returns:
        The classes 0, 1 and 255 (ignored), shape (H, W), uint8, and why the values do not fit the
        rule (an empty string if they do).
    """
    if rule.mode == 'labels':
        return _labels(mask, rule)
    options = (rule.threshold, rule.ignore_index)
    reason = misfit(mask, rule.mode, *options)
    mode = 'threshold' if reason and rule.mode == 'auto' else rule.mode
    return binarize(one_channel(mask), mode, *options), reason


def _labels(mask: np.ndarray, rule: MaskRule) -> tuple[np.ndarray, str]:
    """The same for masks that mmseg takes as they are."""
    grey, reason = to_grey(mask), ''
    classes = np.where(grey == IGNORE, IGNORE, grey > int(rule.reduce_zero_label)).astype(np.uint8)
    values = np.unique(grey)
    allowed = (rule.num_classes or 255) + rule.reduce_zero_label
    wrong = values[(values >= allowed) & (values != IGNORE)]
    if only_in_alpha(mask):
        reason = misfit(mask)
    elif mask.ndim == 3 and mask.shape[2] > 1:
        reason = f'it has {mask.shape[2]} channels and the pipeline no LoadBinaryMask'
    elif len(wrong):
        reason = (
            f'the pipeline has no LoadBinaryMask, so its values are classes, and {wrong[0]} is '
            f'none of 0..{allowed - 1}'
        )
    elif values[-1] == IGNORE and not np.isin(values, range(1, IGNORE)).any():
        reason = (
            'the pipeline has no LoadBinaryMask, so its foreground, 255, would be ignored; use '
            "LoadBinaryMask(mode='threshold')"
        )
    return classes, reason


def encoding(mask: np.ndarray) -> str:
    """Name what the values of a decoded mask look like, whatever the rule.

    Returns:
        ``'empty'`` (all 0), ``'0/1'``, ``'0/255'``, ``'0/255 noisy'`` (JPEG or smoothed),
        ``'labels'`` or ``'grey'`` (none of them). One value all over counts as 0/1 or 0/255.
    """
    highest = channel_max(mask).max()
    if highest <= 1:
        return ('empty', '0/1')[highest]
    grey = to_grey(mask)
    if not np.isin(grey, (0, 255), invert=True).any():
        return '0/255'
    if not suspicion(grey, 127):
        return '0/255 noisy'
    return 'grey' if suspicion(channel_max(mask), None) else 'labels'


@dataclass(frozen=True)
class MaskContent:
    """What a cut mask holds; objects are 8-connected."""

    share: float  # foreground over valid (not ignored) pixels, 0..1
    border: float  # the same of the outermost pixels
    areas: tuple[int, ...]  # pixels of the largest objects, falling, 100 at most
    tiny: int  # number of specks, objects below the limit
    specks: tuple[tuple[int, ...], ...]  # pixels, x and y (upper left) of the first five
    objects: int  # number of objects without the specks; with them if there is nothing else

    @property
    def kind(self) -> str | None:
        """``'mask-empty'``, ``'mask-full'``, ``'mask-inverted'`` or None for a usual mask."""
        return mask_kind(self.share, self.border)


def content(classes: np.ndarray, tiny: float = 0.0) -> MaskContent:
    """Measure a cut mask.

    Args:
        classes: 0, 1 and 255 (ignored), (H, W), uint8.
        tiny: Share of the picture below which an object is a speck. Default 0: none is.
    """
    inside = (classes == 1).astype(np.uint8)
    rim = np.concatenate([classes[0], classes[-1], classes[1:-1, 0], classes[1:-1, -1]])
    _, _, stats, _ = cv2.connectedComponentsWithStats(inside, connectivity=8)
    stats = stats[1:]  # the first is the background
    area = stats[:, cv2.CC_STAT_AREA]
    small = stats[area < tiny * classes.size]
    columns = [cv2.CC_STAT_AREA, cv2.CC_STAT_LEFT, cv2.CC_STAT_TOP]
    return MaskContent(
        share=int((classes == 1).sum()) / max(int((classes != IGNORE).sum()), 1),
        border=int((rim == 1).sum()) / max(int((rim != IGNORE).sum()), 1),
        areas=tuple(np.sort(area)[::-1][:100].tolist()),
        tiny=len(small),
        specks=tuple(map(tuple, small[:5, columns].tolist())),
        objects=len(area) - len(small) or len(area),
    )
