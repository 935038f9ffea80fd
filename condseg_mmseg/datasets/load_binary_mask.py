"""A mask becomes 0, 1 and 255 (ignored) here, while it is read, and nowhere else."""

from __future__ import annotations

import mmcv
import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS

from ..utils.image_files import FileDefect
from ..utils.mask_values import (
    IGNORE,
    channel_max,
    colours,
    mask_scale,
    misfit,
    one_channel,
    to_grey,
)

MODES = ('auto', 'threshold', 'nonzero')


def read_mask(path: str, backend: str = 'pillow') -> np.ndarray:
    """Decode a mask file as mmseg's ``LoadAnnotations`` does.

    Args:
        path: Image file.
        backend: Of mmcv's ``imread``. Default ``'pillow'``.

    Returns:
        np.ndarray: uint8, shape (H, W) or (H, W, C).

    Raises:
        ValueError: The decoder cannot decode it.
    """
    mask = mmcv.imread(path, flag='unchanged', backend=backend)
    if mask is None:
        raise ValueError(f'{path}: {backend} cannot decode it')
    return mask.astype(np.uint8)


def sample_name(results: dict) -> str:
    """Return the mask file of a sample, or its image, for messages."""
    return str(results.get('seg_map_path') or results.get('img_path') or '<array>')


def require_size(mask: np.ndarray, results: dict, remedy: str = 'they must agree') -> None:
    """Refuse a mask that does not have the size of the image file.

    Args:
        mask: (H, W) or (H, W, C).
        results: Of the pipeline, with ``ori_shape``.
        remedy: What the message ends with. Default ``'they must agree'``.

    Raises:
        ValueError: The sizes differ.
    """
    height, width = results['ori_shape'][:2]
    if mask.shape[:2] != (height, width):
        raise ValueError(
            f'{sample_name(results)}: the mask is {mask.shape[1]} x {mask.shape[0]}, its image is '
            f'{width} x {height}; {remedy}'
        )


def require_fit(
    mask: np.ndarray,
    name: str,
    mode: str = 'auto',
    threshold: int = 127,
    ignore_index: int | None = None,
) -> None:
    """Refuse a mask whose values do not fit the mode.

    Args:
        mask: As of :func:`.misfit`, like the other arguments.
        name: File, for the message.
        mode: Default ``'auto'``.
        threshold: Default 127.
        ignore_index: Default None.

    Raises:
        FileDefect: A ValueError, of the kind ``'mask-values'``.
    """
    reason = misfit(mask, mode, threshold, ignore_index)
    if reason:
        raise FileDefect('mask-values', reason, name)


def binarize(
    mask: np.ndarray,
    mode: str = 'auto',
    threshold: int = 127,
    ignore_index: int | None = None,
    name: str = '',
) -> np.ndarray:
    """Cut a decoded mask to 0 (background), 1 (foreground) and 255 (ignored).

    Args:
        mask: uint8, shape (H, W) or (H, W, C), see :func:`.to_grey`.
        mode: One of :data:`MODES`, see :class:`LoadBinaryMask`. Default ``'auto'``.
        threshold: Of the mode ``'threshold'``. Default 127.
        ignore_index: Value that becomes 255, in every channel of a pixel. Default None.
        name: File, for the message. Default ``''``.

    Returns:
        np.ndarray: uint8, shape (H, W).

    Raises:
        ValueError: In the mode ``'auto'`` for a mask that is neither 0/1 nor 0/255.
    """
    ignored = None if ignore_index is None else (colours(mask) == ignore_index).all(2)
    if ignored is not None:
        mask = np.where(ignored if mask.ndim == 2 else ignored[..., None], np.uint8(0), mask)
    if mode == 'nonzero' or (mode == 'auto' and mask_scale(mask, name) == 1):
        # Luminance would round a dark label colour to 0, so the largest channel decides.
        binary = (channel_max(mask) > 0).astype(np.uint8)
    else:
        binary = (to_grey(mask) > (127 if mode == 'auto' else threshold)).astype(np.uint8)
    if ignored is not None:
        binary[ignored] = IGNORE
    return binary


class LoadMask(BaseTransform):
    """Read the mask file of a sample by :func:`read_mask`.

    A subclass says what its values become. A sample without a mask file passes unchanged, so that
    mmseg's inference scripts can use the test pipeline.

    Required keys: ``ori_shape``, and ``seg_map_path`` where there is a mask. Added keys:
    ``gt_seg_map``, shape (H, W), which ``seg_fields`` names from here on.

    Raises:
        ValueError: At run time for a mask that has another size than its image.
    """

    imdecode_backend = 'pillow'

    def convert(self, mask: np.ndarray, name: str) -> np.ndarray:
        """Turn a decoded mask, uint8 (H, W) or (H, W, C), BGR, into a target (H, W)."""
        raise NotImplementedError

    def transform(self, results: dict) -> dict:
        """Add ``gt_seg_map`` to ``results``."""
        path = results.get('seg_map_path')
        if not path:
            return results
        mask = read_mask(path, self.imdecode_backend)
        require_size(mask, results)
        results['gt_seg_map'] = self.convert(mask, str(path))
        results['seg_fields'] = [*dict.fromkeys((*results.get('seg_fields', ()), 'gt_seg_map'))]
        return results


@TRANSFORMS.register_module()
class LoadBinaryMask(LoadMask):
    """Read a mask file as uint8 0 (background), 1 (foreground) and 255 (ignored).

    It takes the place of ``LoadAnnotations``. In training it comes before ``ResizeWithMask``, which
    resizes image and mask. For scores it comes after, where only the image is there to resize: the
    mask keeps the size of its file, at which mmseg scores, unless ``ScoreAtInputSize`` follows.

    Args:
        mode: ``'auto'``: a file where no value exceeds 1 is 0/1, an empty one too; any other must
            look like 0/255, with JPEG noise or a soft rim, and is cut at > 127; the rest is an
            error. ``'threshold'``: foreground is where the luminance is greater than
            ``threshold``. ``'nonzero'``, for label masks (palette indices, instances): any value
            above 0 in any channel. Default ``'auto'``.
        threshold: Of the mode ``'threshold'``, 127 by default; may not be given with another.
        ignore_index: Value in the file that becomes 255; with colour masks it has to hold in
            every channel. Default None: nothing is ignored.
        imdecode_backend: Decoder, as in ``LoadAnnotations``. Default ``'pillow'``.

    Raises:
        ValueError: At construction for an unknown mode, or a number outside 0..254 (threshold) or
            0..255 (ignored); at run time for a mask of another size than its image.
        FileDefect: At run time, a ValueError, for values that do not fit the mode
            (:func:`.misfit`). In the mode ``'auto'``: neither 0/1 nor 0/255, such as labels, or
            nothing but noise above 1, which may be labels. In the mode
            ``'threshold'``: labels, or bright colours that would be background. In the mode
            ``'nonzero'``: JPEG noise, or several values and no background. In all: a mask that
            varies in its alpha channel only.
    """

    def __init__(
        self,
        mode: str = 'auto',
        threshold: int | None = None,
        ignore_index: int | None = None,
        imdecode_backend: str = 'pillow',
    ) -> None:
        if mode not in MODES:
            raise ValueError(f'mode must be one of {MODES}, got {mode!r}')
        if mode != 'threshold' and threshold is not None:
            raise ValueError(f'mode={mode!r} takes no threshold, got {threshold!r}')
        if threshold is not None and not 0 <= threshold <= 254:
            raise ValueError(f'threshold must lie in 0..254, got {threshold!r}')
        if ignore_index is not None and not 0 <= ignore_index <= 255:
            raise ValueError(f'ignore_index must lie in 0..255, got {ignore_index!r}')
        if mode != 'nonzero' and ignore_index == 255:
            raise ValueError(
                'ignore_index=255 would ignore the foreground of a 0/255 mask; '
                "it is for mode='nonzero' only"
            )
        self.mode = mode
        self.threshold = 127 if threshold is None else threshold
        self.ignore_index = ignore_index
        self.imdecode_backend = imdecode_backend

    def convert(self, mask: np.ndarray, name: str) -> np.ndarray:
        """Cut a decoded mask, see :func:`binarize`, unless its values do not fit the mode."""
        mask = one_channel(mask)
        require_fit(mask, name, self.mode, self.threshold, self.ignore_index)
        return binarize(mask, self.mode, self.threshold, self.ignore_index, name)

    def __repr__(self) -> str:
        """Return the constructor call."""
        threshold = self.threshold if self.mode == 'threshold' else None
        return (
            f'{type(self).__name__}(mode={self.mode!r}, threshold={threshold}, '
            f'ignore_index={self.ignore_index})'
        )
