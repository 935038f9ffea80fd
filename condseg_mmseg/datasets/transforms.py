"""Masks become 0/1 here and nowhere else; the score size is set here."""

from __future__ import annotations

import warnings

import cv2
import mmcv
import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS

IGNORE = 255
"""Label that mmseg leaves out of losses and scores."""

_CHECKED: set[tuple] = set()  # masks whose values this process has looked at


def to_grey(mask: np.ndarray) -> np.ndarray:
    """Reduce a decoded mask to one channel.

    Args:
        mask: Shape (H, W), or (H, W, C) in the order of OpenCV: grey + alpha (C = 2), BGR (3) or
            BGRA (4). Alpha is dropped.

    Returns:
        np.ndarray: The luminance, shape (H, W), uint8.

    Raises:
        ValueError: If ``mask`` has any other shape.
    """
    if mask.ndim == 2:
        return mask
    if mask.ndim == 3 and mask.shape[2] in (1, 2):
        return np.ascontiguousarray(mask[..., 0])
    if mask.ndim == 3 and mask.shape[2] in (3, 4):
        return cv2.cvtColor(np.ascontiguousarray(mask[..., :3]), cv2.COLOR_BGR2GRAY)
    raise ValueError(f'a mask has shape (H, W) or (H, W, 1..4), got {mask.shape}')


def suspicion(values: np.ndarray, threshold: int | None) -> str:
    """Say why the values of a mask do not look as the chosen mode expects them.

    Measured on the real sets: Kvasir-SEG (JPEG) has no pixel in 32..223, at most 0.5 % at any one
    value of 1..254 and 16 or more distinct values; GlaS has labels 0..32.

    Args:
        values: Grey mask, shape (H, W), uint8.
        threshold: Cut of the threshold mode, or None for the mode ``nonzero``.

    Returns:
        str: One sentence with the remedy, or an empty string.
    """
    hist = np.bincount(values.ravel(), minlength=256)
    total, present = hist.sum(), np.flatnonzero(hist)
    if total == 0 or present[-1] == 0:
        return ''
    if threshold is not None:
        if present[-1] <= threshold:
            return (
                f'its highest value is {present[-1]}, so no pixel is foreground at '
                f"threshold {threshold}; for a label mask use BinarizeMask(mode='nonzero')"
            )
        low = 1 + int(hist[1:32].argmax())
        if min(hist[0], hist[low]) > 0.05 * total:
            return (
                f'{100 * hist[low] / total:.0f} % of its pixels are exactly {low}, like a '
                "label; for a label mask use BinarizeMask(mode='nonzero')"
            )
        grey = hist[32:224].sum() / total
        if grey > 0.1:
            return (
                f'{100 * grey:.0f} % of its pixels are neither near 0 nor near 255; is it a mask?'
            )
        return ''
    soft = np.count_nonzero(hist[32:255])
    if soft >= 4 and hist[224:].sum() >= 0.5 * hist[1:].sum():
        return (
            f'it has {len(present)} grey values, most of them near 255, like a JPEG or a '
            'soft mask; use BinarizeMask(threshold=127)'
        )
    pairs = (values[:, 1:] > 0) & (values[:, :-1] > 0)
    equal = (values[:, 1:] == values[:, :-1])[pairs]
    if len(present) > 64 and equal.size and equal.mean() < 0.75:
        return f'it has {len(present)} values without areas of one label; is it a mask?'
    return ''


def _size(mask: np.ndarray) -> str:
    return f'{mask.shape[1]} x {mask.shape[0]}'


def _name(results: dict) -> str:
    return str(results.get('seg_map_path') or results.get('img_path') or '<array>')


@TRANSFORMS.register_module()
class BinarizeMask(BaseTransform):
    """Turn a decoded mask into uint8 0 (background), 1 (foreground) and 255 (ignored).

    Put it right after ``LoadAnnotations`` (or after ``ScoreAtInputSize``), before any geometric
    transform: those fill with 255, which must mean *ignored* by then. Samples without a mask
    pass unchanged, so that mmseg's inference scripts can use the test pipeline.

    Required keys: ``gt_seg_map``, ``ori_shape``. Modified keys: ``gt_seg_map``, shape (H, W).

    Args:
        threshold: A pixel is foreground where its luminance is greater. Default 127 in the
            threshold mode; may not be given with ``mode='nonzero'``.
        mode: ``'threshold'`` for masks of 0 and 255, with JPEG noise or without, or
            ``'nonzero'`` for label masks (palette indices, instances): any value above 0 in any
            channel is foreground. Default ``'threshold'``.
        ignore_index: Value in the file that becomes 255; with colour masks it has to hold in
            every channel. Default None: nothing is ignored.

    Raises:
        ValueError: At construction for an unknown mode or a threshold outside 0..254; at run
            time for a mask whose size is not the image's, or one that is binary already.

    Warns:
        UserWarning: Once per file and process, where the values fit the mode badly.
    """

    def __init__(
        self, threshold: int | None = None, mode: str = 'threshold', ignore_index: int | None = None
    ) -> None:
        if mode not in ('threshold', 'nonzero'):
            raise ValueError(f"mode must be 'threshold' or 'nonzero', got {mode!r}")
        if mode == 'nonzero' and threshold is not None:
            raise ValueError(f"mode='nonzero' takes no threshold, got {threshold!r}")
        if mode == 'threshold':
            threshold = 127 if threshold is None else threshold
            if not 0 <= threshold <= 254:
                raise ValueError(f'threshold must lie in 0..254, got {threshold!r}')
        if ignore_index is not None:
            if not 0 <= ignore_index <= 255:
                raise ValueError(f'ignore_index must lie in 0..255, got {ignore_index!r}')
            if mode == 'threshold' and ignore_index == 255:
                raise ValueError(
                    'ignore_index=255 would ignore the foreground of a 0/255 mask; '
                    "it goes with mode='nonzero' only"
                )
        self.threshold = threshold
        self.mode = mode
        self.ignore_index = ignore_index

    def transform(self, results: dict) -> dict:
        """Binarise ``results['gt_seg_map']``."""
        mask = results.get('gt_seg_map')
        if mask is None:
            return results
        if results.get('mask_binarized'):
            raise ValueError(
                f'{_name(results)}: the mask has been binarised already; '
                'BinarizeMask may stand in a pipeline once'
            )
        height, width = results['ori_shape'][:2]
        if mask.shape[:2] != (height, width):
            raise ValueError(
                f'{_name(results)}: the mask is {_size(mask)}, its image is {width} x {height}; '
                'they must agree, and BinarizeMask must come before the mask is resized'
            )
        if self.mode == 'nonzero':
            if results.get('mask_interpolation') == 'bilinear':
                raise ValueError(
                    f'{_name(results)}: labels cannot be resized bilinearly; use '
                    "ScoreAtInputSize(mask_interpolation='nearest')"
                )
            # Luminance would round a dark label colour to 0, so the largest channel decides.
            grey = to_grey(mask) if mask.ndim == 2 or mask.shape[2] < 3 else mask[..., :3].max(2)
            binary = (grey > 0).astype(np.uint8)
        else:
            grey = to_grey(mask)
            binary = (grey > self.threshold).astype(np.uint8)
        if self.ignore_index is not None:
            colour = mask if mask.ndim == 2 else mask[..., : (1 if mask.shape[2] < 3 else 3)]
            ignored = colour == self.ignore_index
            ignored = ignored if ignored.ndim == 2 else ignored.all(2)
            binary[ignored] = IGNORE
            grey = np.where(ignored, 0, grey).astype(np.uint8)
        self._look_at(grey, results)
        results['gt_seg_map'] = binary
        results['mask_binarized'] = True
        return results

    def _look_at(self, grey: np.ndarray, results: dict) -> None:
        key = (_name(results), self.mode, self.threshold)
        if key in _CHECKED:
            return
        _CHECKED.add(key)
        reason = suspicion(grey, self.threshold)
        if reason:
            warnings.warn(f'{_name(results)}: {reason}', UserWarning, stacklevel=2)

    def __repr__(self) -> str:
        """Return the constructor call."""
        return (
            f'{type(self).__name__}(threshold={self.threshold}, mode={self.mode!r}, '
            f'ignore_index={self.ignore_index})'
        )


@TRANSFORMS.register_module()
class ScoreAtInputSize(BaseTransform):
    """Let the metrics compare at the network's input size instead of the file's.

    mmseg resizes every prediction to ``ori_shape``. This transform resizes the mask to
    ``img_shape`` and sets ``ori_shape = img_shape``, so that the prediction stays as it is. That
    is the published protocol; leaving the transform out of the test pipeline gives the protocol
    ``original``. Order of a test pipeline::

        LoadImageFromFile, Resize, LoadAnnotations, ScoreAtInputSize, BinarizeMask, PackSegInputs

    A mask that was loaded before ``Resize`` has the input size already and stays as it is. Padding
    is the data preprocessor's (``test_cfg=dict(size=...)``): mmseg cuts that off a prediction
    again, but not what ``Pad`` adds in the pipeline. A
    sample without a mask passes unchanged: there is nothing to score, and inference wants the
    prediction at the size of the image.

    Required keys: ``ori_shape``, ``img_shape``, ``gt_seg_map``. Modified keys: ``ori_shape``,
    ``gt_seg_map``.

    Args:
        mask_interpolation: ``'nearest'`` (default; the same before or after the cut to 0/1) or
            ``'bilinear'``, which resizes the grey mask before it is cut, as the released code
            does when it scores. Only for 0/255 masks.

    Raises:
        ValueError: At construction for an unknown interpolation; at run time for a mask whose
            size is neither the image's nor the input's, for ``'bilinear'`` on a mask that has been
            binarised or resized before, and for an image that ``Pad`` has enlarged.
    """

    def __init__(self, mask_interpolation: str = 'nearest') -> None:
        if mask_interpolation not in ('nearest', 'bilinear'):
            raise ValueError(
                f"mask_interpolation must be 'nearest' or 'bilinear', got {mask_interpolation!r}"
            )
        self.mask_interpolation = mask_interpolation

    def transform(self, results: dict) -> dict:
        """Resize ``results['gt_seg_map']`` and set ``ori_shape``."""
        mask = results.get('gt_seg_map')
        if mask is None:
            return results
        self._refuse_padding(results)
        bilinear = self.mask_interpolation == 'bilinear'
        if bilinear and results.get('mask_binarized'):
            raise ValueError(
                f"{_name(results)}: mask_interpolation='bilinear' needs the grey "
                'mask; put BinarizeMask after ScoreAtInputSize'
            )
        original = tuple(results['ori_shape'][:2])
        target = tuple(results['img_shape'][:2])
        if mask.shape[:2] == original:
            if bilinear:
                mask = to_grey(mask)
            if original != target:
                mask = mmcv.imresize(mask, target[::-1], interpolation=self.mask_interpolation)
        elif mask.shape[:2] != target:
            raise ValueError(
                f'{_name(results)}: the mask is {_size(mask)}, its image is '
                f'{original[1]} x {original[0]}; they must agree'
            )
        elif bilinear:
            raise ValueError(
                f"{_name(results)}: mask_interpolation='bilinear' needs the mask at "
                'its own size; put LoadAnnotations after Resize'
            )
        results['gt_seg_map'] = mask
        results['ori_shape'] = target
        results['mask_interpolation'] = self.mask_interpolation
        return results

    @staticmethod
    def _refuse_padding(results: dict) -> None:
        # Only Pad sets these keys; other transforms set pad_shape as well.
        if 'pad_fixed_size' not in results and 'pad_size_divisor' not in results:
            return
        scale = results.get('scale_factor', (1, 1))[::-1]  # Resize keeps (width, height)
        sides = zip(results['ori_shape'][:2], scale, strict=True)
        height, width = (round(side * factor) for side, factor in sides)
        padded = tuple(results['pad_shape'][:2])
        if padded != (height, width):
            raise ValueError(
                f'{_name(results)}: Pad has enlarged the image from {width} x {height} to '
                f'{padded[1]} x {padded[0]}, and the mask would be stretched over the padding; '
                'LoadAnnotations and ScoreAtInputSize must come before Pad. In a test pipeline '
                'leave the padding to the data preprocessor, test_cfg=dict(size=...)'
            )

    def __repr__(self) -> str:
        """Return the constructor call."""
        return f'{type(self).__name__}(mask_interpolation={self.mask_interpolation!r})'
