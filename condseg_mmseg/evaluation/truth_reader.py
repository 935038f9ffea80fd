"""Reads the true masks of a folder as a test pipeline does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from ..datasets.load_binary_mask import MODES, binarize, read_mask
from ..datasets.mask_resize import resize_mask
from ..utils.errors import UserError
from ..utils.mask_values import highest_value, mask_scale, to_grey
from .prediction_folder import FolderError

TRUTHS: dict[int | str, str] = {
    1: '0 and 1',
    255: '0 and 255',
    'auto': 'foreground above 0',
    'threshold': 'foreground above 127',
    'nonzero': 'foreground above 0',
}


class TruthReader:
    """Reads masks as a test pipeline of ours does.

    Args:
        mask_mode: ``'auto'`` (0/1 or 0/255, file by file), ``'threshold'`` (grey value above 127)
            or ``'nonzero'`` (labels), as of ``LoadBinaryMask``.

    Raises:
        UserError: ``mask_mode`` is none of these.
    """

    def __init__(self, mask_mode: str) -> None:
        if mask_mode not in MODES:
            raise UserError(f'--mask-mode must be one of {MODES}, got {mask_mode!r}')
        self.mode = mask_mode

    def __call__(self, path: str, shape: tuple[int, int] | None = None) -> np.ndarray:
        """Read a mask.

        Args:
            path: Image file.
            shape: Height and width of the result. Default None: those of the file.

        Returns:
            0 and 1, (H, W).
        """
        mask = binarize(read_mask(path), self.mode, name=path)
        return mask if shape is None else resize_mask(mask, shape)

    def inspect(self, paths: Sequence[str]) -> str:
        """Look at all masks, at their own size, before any is scored.

        Args:
            paths: Image files.

        Returns:
            What was found, in words.

        Raises:
            FolderError: The mode ``'auto'`` can make nothing of a mask, or no mask has foreground,
                so that there is nothing to find and a wrong mode is likely.
        """
        kinds: Counter[str] = Counter()
        problems, highest = [], 0
        for path in paths:
            mask = read_mask(path)
            grey = self.mode == 'threshold'
            top = int(to_grey(mask).max(initial=0)) if grey else highest_value(mask)
            highest = max(highest, top)
            if top <= (127 if grey else 0):
                kinds['empty'] += 1
            elif self.mode == 'auto':
                try:
                    kinds[TRUTHS[mask_scale(mask, path)]] += 1
                except ValueError as error:  # its remedy is one for configs
                    problems.append(str(error).partition('. For labels')[0])
            else:
                kinds[TRUTHS[self.mode]] += 1
        if problems:
            raise FolderError(
                'true masks are read as 0/1 or 0/255, which these are not; for labels, of which '
                'all but 0 are foreground, give --mask-mode nonzero, for 0/255 masks, empty ones '
                'with noise among them, --mask-mode threshold:',
                problems,
            )
        if kinds['empty'] == len(paths):
            hint = '; try --mask-mode auto' if self.mode == 'threshold' and highest else ''
            raise FolderError(
                f'all {len(paths)} true masks are empty ({TRUTHS[self.mode]}): '
                f'their highest value is {highest}{hint}'
            )
        return ', '.join(f'{kind} ({n} of {len(paths)})' for kind, n in sorted(kinds.items()))
