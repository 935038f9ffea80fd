"""Masks become 0/1 here and nowhere else; the score size is set here."""

from __future__ import annotations

import warnings

import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS

from ..utils.mask_values import IGNORE, channel_max, mask_scale, suspicion, to_grey
from .mask_resize import resize_mask

_CHECKED: set[tuple] = set()  # masks whose values this process has looked at


def _size(mask: np.ndarray) -> str:
    return f'{mask.shape[1]} x {mask.shape[0]}'


def sample_name(results: dict) -> str:
    """Return the mask file of a sample, or its image, for messages."""
    return str(results.get('seg_map_path') or results.get('img_path') or '<array>')


def require_file_values(results: dict, transform: str) -> None:
    """Refuse a mask that holds labels already, or whose size is not its image's.

    Args:
        results: With ``gt_seg_map``, (H, W) or (H, W, C), and ``ori_shape``.
        transform: Name of the transform that needs the values of the file.

    Raises:
        ValueError: Naming the file and what is wrong.
    """
    if results.get('mask_binarized'):
        raise ValueError(
            f'{sample_name(results)}: the mask has been binarised already; '
            f'{transform} may stand in a pipeline once, and BinarizeMask and SoftMask exclude each '
            'other'
        )
    if results.get('mask_resized'):
        raise ValueError(
            f'{sample_name(results)}: the mask has been resized already; put {transform} right '
            'after LoadAnnotations, before ResizeWithMask and ScoreAtInputSize'
        )
    mask, (height, width) = results['gt_seg_map'], results['ori_shape'][:2]
    if mask.shape[:2] != (height, width):
        raise ValueError(
            f'{sample_name(results)}: the mask is {_size(mask)}, its image is {width} x {height}; '
            f'they must agree, and {transform} must come before the mask is resized'
        )


@TRANSFORMS.register_module()
class BinarizeMask(BaseTransform):
    """Turn a decoded mask into uint8 0 (background), 1 (foreground) and 255 (ignored).

    Put it right after ``LoadAnnotations``, before any geometric transform: those fill with 255,
    which must mean *ignored* by then, and ``ResizeWithMask`` and ``ScoreAtInputSize`` resize by
    another rule what this transform has not made. Samples without a mask
    pass unchanged, so that mmseg's inference scripts can use the test pipeline.

    Required keys: ``gt_seg_map``, ``ori_shape``. Modified keys: ``gt_seg_map``, shape (H, W).
    Added keys: ``mask_binarized``.

    Args:
        threshold: A pixel is foreground where its luminance is greater. Default 127 in the
            threshold mode; may not be given with another mode.
        mode: ``'threshold'`` for masks of 0 and 255, with JPEG noise or without, or
            ``'nonzero'`` for label masks (palette indices, instances): any value above 0 in any
            channel is foreground. ``'auto'`` for folders of 0/1 and 0/255 masks, told apart file by
            file: where no value exceeds 1 the mask is 0/1, an empty one too; else it must look
            like 0/255 (JPEG noise allowed) and is cut at > 127; the rest is an error. Default
            ``'threshold'``.
        ignore_index: Value in the file that becomes 255; with colour masks it has to hold in
            every channel. Default None: nothing is ignored.

    Raises:
        ValueError: At construction for an unknown mode or a threshold outside 0..254; at run
            time for a mask whose size is not the image's, or one that is binary or resized
            already; in the mode ``'auto'`` for a mask that is neither 0/1 nor 0/255: labels, or
            nothing but noise above 1, which cannot be told from labels.

    Warns:
        UserWarning: Once per file and process, where the values fit the mode badly; ``'auto'``
            raises instead, every time.
    """

    def __init__(
        self, threshold: int | None = None, mode: str = 'threshold', ignore_index: int | None = None
    ) -> None:
        if mode not in ('threshold', 'nonzero', 'auto'):
            raise ValueError(f"mode must be 'threshold', 'nonzero' or 'auto', got {mode!r}")
        if mode != 'threshold' and threshold is not None:
            raise ValueError(f'mode={mode!r} takes no threshold, got {threshold!r}')
        if mode == 'threshold':
            threshold = 127 if threshold is None else threshold
            if not 0 <= threshold <= 254:
                raise ValueError(f'threshold must lie in 0..254, got {threshold!r}')
        if ignore_index is not None:
            if not 0 <= ignore_index <= 255:
                raise ValueError(f'ignore_index must lie in 0..255, got {ignore_index!r}')
            if mode != 'nonzero' and ignore_index == 255:
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
        require_file_values(results, 'BinarizeMask')
        if self.ignore_index is None:
            binary = self._foreground(mask, results)
        else:
            ignored = self._ignored(mask)
            binary = self._foreground(self._without(mask, ignored), results)
            binary[ignored] = IGNORE
        results['gt_seg_map'] = binary
        results['mask_binarized'] = True
        return results

    def _ignored(self, mask: np.ndarray) -> np.ndarray:
        colour = mask if mask.ndim == 2 else mask[..., : (1 if mask.shape[2] < 3 else 3)]
        ignored = colour == self.ignore_index
        return ignored if ignored.ndim == 2 else ignored.all(2)

    @staticmethod
    def _without(mask: np.ndarray, ignored: np.ndarray) -> np.ndarray:
        return np.where(ignored if mask.ndim == 2 else ignored[..., None], 0, mask).astype(np.uint8)

    def _foreground(self, mask: np.ndarray, results: dict) -> np.ndarray:
        """Cut ``mask``; uint8 0/1."""
        if self.mode == 'auto':
            name = sample_name(results)
            zero_one = mask_scale(mask, '' if name == '<array>' else name) == 1
            cut = channel_max(mask) > 0 if zero_one else to_grey(mask) > 127
            return cut.astype(np.uint8)
        # Luminance would round a dark label colour to 0, so the largest channel decides.
        values = channel_max(mask) if self.mode == 'nonzero' else to_grey(mask)
        self._look_at(values, results)
        return (values > (self.threshold or 0)).astype(np.uint8)

    def _look_at(self, grey: np.ndarray, results: dict) -> None:
        key = (sample_name(results), self.mode, self.threshold)
        if key in _CHECKED:
            return
        _CHECKED.add(key)
        reason = suspicion(grey, self.threshold)
        if reason:
            warnings.warn(f'{sample_name(results)}: {reason}', UserWarning, stacklevel=2)

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

        LoadImageFromFile, Resize, LoadAnnotations, BinarizeMask, ScoreAtInputSize, PackSegInputs

    Masks of ``BinarizeMask`` are resized bilinearly and cut at 0.5 (:func:`.resize_mask`), as for
    the published scores, which cut after the resize only: of a mask file without noise that makes
    the same. Masks that it has not made are labels, and take the centre-aligned nearest one.

    A mask that was loaded before ``ResizeWithMask`` has the input size already and stays as it is.
    Padding is the data preprocessor's (``test_cfg=dict(size=...)``): mmseg cuts that off a
    prediction again, but not what ``Pad`` adds in the pipeline. A sample without a mask passes
    unchanged: there is nothing to score, and inference wants the prediction at the size of the
    image.

    Required keys: ``ori_shape``, ``img_shape``, ``gt_seg_map``. Modified keys: ``ori_shape``,
    ``gt_seg_map``. Added keys: ``mask_resized``.

    Args:
        mask_interpolation: No longer an option. A pipeline of an older config that names it still
            predicts, but scoring raises an error. Default None.

    Raises:
        ValueError: At run time for a mask whose size is neither the image's nor the input's, for a
            soft one, for one that mmseg's ``Resize`` has taken to the input size after
            ``BinarizeMask``, for an image that ``Pad`` has enlarged, and for
            ``mask_interpolation``.
    """

    def __init__(self, mask_interpolation: str | None = None) -> None:
        self.mask_interpolation = mask_interpolation

    def transform(self, results: dict) -> dict:
        """Resize ``results['gt_seg_map']`` and set ``ori_shape``."""
        mask = results.get('gt_seg_map')
        if mask is None:
            return results
        self.refuse_interpolation()
        self._refuse_padding(results)
        name, binarized = sample_name(results), results.get('mask_binarized', False)
        if np.issubdtype(mask.dtype, np.floating):
            raise ValueError(f'{name}: SoftMask is for training; for scores use BinarizeMask')
        original = tuple(results['ori_shape'][:2])
        target = tuple(results['img_shape'][:2])
        if mask.shape[:2] == original:
            mask = resize_mask(mask, target, binarized)
        elif mask.shape[:2] != target:
            raise ValueError(
                f'{name}: the mask is {_size(mask)}, its image is '
                f'{original[1]} x {original[0]}; they must agree'
            )
        elif binarized and not results.get('mask_resized'):
            raise ValueError(
                f'{name}: Resize takes the nearest pixel of a mask, up to half a pixel beside the '
                "image's: put LoadAnnotations and BinarizeMask after it, or use ResizeWithMask"
            )
        results['gt_seg_map'] = mask
        results['ori_shape'] = target
        results['mask_resized'] = True
        return results

    def refuse_interpolation(self) -> None:
        """Raise a ``ValueError`` where an older config gives ``mask_interpolation``."""
        if self.mask_interpolation is not None:
            raise ValueError(
                'ScoreAtInputSize has no mask_interpolation any more, got '
                f'{self.mask_interpolation!r}: remove it and put BinarizeMask before '
                'ScoreAtInputSize, which resizes the 0/1 mask bilinearly and cuts it at 0.5; the '
                "scores of 'nearest' were lower, those of 'bilinear' the same but for JPEG noise"
            )

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
                f'{sample_name(results)}: Pad has enlarged the image from {width} x {height} to '
                f'{padded[1]} x {padded[0]}, and the mask would be stretched over the padding; '
                'LoadAnnotations and ScoreAtInputSize must come before Pad. In a test pipeline '
                'leave the padding to the data preprocessor, test_cfg=dict(size=...)'
            )

    def __repr__(self) -> str:
        """Return the constructor call."""
        return f'{type(self).__name__}()'
