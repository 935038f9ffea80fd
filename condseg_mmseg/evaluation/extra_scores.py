"""The scores of an image that counts of right and wrong pixels do not give."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..utils.extras import require
from .functional import scores_from_counts
from .objects import covered_share
from .structure_measures import mean_absolute_error, normalize_map, s_measure, weighted_f_measure
from .surface import hausdorff_95, surface_dice
from .threshold_curves import adaptive_counts, e_measure, threshold_counts

MAP_NORMS = ('none', 'minmax')


@dataclass(frozen=True)
class ExtraScore:
    """What is known of a score beside its formula.

    Args:
        key: Name of its mean among mmseg's results.
        higher_is_better: Default True.
        unit: ``'%'`` (default) or ``'px'``, pixels of the scored size.
        needs_map: Computed from probabilities, else from labels. Default True.
        whole: Not defined on an image with ignored pixels. Default True.
    """

    key: str
    higher_is_better: bool = True
    unit: str = '%'
    needs_map: bool = True
    whole: bool = True


EXTRA_SCORES = dict(
    s_measure=ExtraScore('mSmeasure'),
    e_measure_max=ExtraScore('maxEmeasure'),
    e_measure_mean=ExtraScore('meanEmeasure'),
    e_measure_adaptive=ExtraScore('adpEmeasure'),
    weighted_f=ExtraScore('mWeightedF'),
    mae=ExtraScore('mMAE', higher_is_better=False, whole=False),
    dice_256=ExtraScore('mDice256'),
    iou_256=ExtraScore('mIoU256'),
    hd95=ExtraScore('mHD95', higher_is_better=False, unit='px', needs_map=False),
    surface_dice=ExtraScore('mSurfaceDice', needs_map=False),
    object_recall=ExtraScore('mObjectRecall', needs_map=False),
    object_precision=ExtraScore('mObjectPrecision', needs_map=False),
)
"""Names as in ``extra_metrics`` and in the CSV file, in the order of both."""

_CURVES = {'e_measure_max', 'e_measure_mean', 'dice_256', 'iou_256'}
_SKIPPED = ('weighted_f', 'dice_256', 'iou_256', 'hd95', 'surface_dice')  # as Dice and IoU


class ExtraScorer:
    """Computes the chosen further scores of single images.

    Args:
        names: Names of :data:`EXTRA_SCORES`; any order, each once.
        empty_policy: One of :data:`.functional.EMPTY_POLICIES`. Default ``'strict'``.
        map_norm: ``'none'`` (default): probabilities as they are; ``'minmax'``: every map is
            stretched to 0..1 first (:func:`.structure_measures.normalize_map`).
        surface_tolerance: Of the surface Dice, in pixels. Default 2.

    Raises:
        ValueError: For an unknown or repeated name, an unknown ``map_norm``, or a tolerance that
            is negative or not finite.
        ImportError: If a package of the extra ``metrics`` is needed and missing.
    """

    def __init__(
        self,
        names: Sequence[str],
        empty_policy: str = 'strict',
        map_norm: str = 'none',
        surface_tolerance: float = 2.0,
    ) -> None:
        names = (names,) if isinstance(names, str) else tuple(names)
        unknown = [name for name in names if name not in EXTRA_SCORES]
        if unknown or len(set(names)) < len(names):
            raise ValueError(
                f'extra_metrics must be different names of {tuple(EXTRA_SCORES)}, got {names}'
            )
        if map_norm not in MAP_NORMS:
            raise ValueError(f'map_norm must be one of {MAP_NORMS}, got {map_norm!r}')
        if not (surface_tolerance >= 0 and math.isfinite(surface_tolerance)):
            raise ValueError(
                f'surface_tolerance must be 0 pixels or more, got {surface_tolerance!r}'
            )
        self.names = tuple(name for name in EXTRA_SCORES if name in names)
        self.empty_policy = empty_policy
        self.map_norm = map_norm
        self.surface_tolerance = float(surface_tolerance)
        self.map_names = tuple(name for name in self.names if EXTRA_SCORES[name].needs_map)
        self.whole_names = tuple(name for name in self.names if EXTRA_SCORES[name].whole)
        if 'weighted_f' in self.names:
            require('scipy.ndimage', "extra_metrics 'weighted_f'", 'metrics')
        if {'hd95', 'surface_dice'} & set(self.names):
            require('monai.metrics', "extra_metrics 'hd95' and 'surface_dice'", 'metrics')

    def __call__(
        self,
        pred: np.ndarray,
        target: np.ndarray,
        valid: np.ndarray,
        probability: np.ndarray | None = None,
    ) -> tuple[tuple[float, ...], np.ndarray | None]:
        """Score an image.

        Args:
            pred: Predicted foreground, shape (H, W), bool.
            target: True foreground, shape (H, W), bool.
            valid: Pixels that count, shape (H, W), bool; all of them, but for ``mae``.
            probability: Of the foreground, shape (H, W); for the scores of a map only.

        Returns:
            tuple: One value per name, NaN where undefined or settled by :meth:`columns`, and the
            E-measure at 256 thresholds as float32, or None if ``e_measure_max`` is not asked for.

        Raises:
            ValueError: If probabilities are missing or lie outside 0..1, or a score that needs a
                whole image meets ignored pixels.
        """
        if self.whole_names and not valid.all():
            raise ValueError(
                f'{np.count_nonzero(~valid)} pixels are ignored, but {", ".join(self.whole_names)} '
                'are defined on whole images only; leave them out of extra_metrics'
            )
        curves: dict[str, np.ndarray] = {}
        soft: Any = None
        if self.map_names:
            if probability is None:
                raise ValueError(f'{", ".join(self.map_names)} need probabilities')
            soft = normalize_map(probability) if self.map_norm == 'minmax' else probability
            if _CURVES & set(self.names):
                counts = threshold_counts(soft, target)
                curves = scores_from_counts(counts, self.empty_policy)
                curves['e'] = e_measure(counts)
        some = bool(target.any())
        formulas: dict[str, Callable[[], Any]] = dict(
            s_measure=lambda: s_measure(soft, target),
            e_measure_max=lambda: math.nan,  # settled by `columns`
            e_measure_mean=lambda: curves['e'].mean(),
            e_measure_adaptive=lambda: e_measure(adaptive_counts(soft, target)),
            weighted_f=lambda: weighted_f_measure(soft, target) if some else not pred.any(),
            mae=lambda: mean_absolute_error(soft, target, valid),
            dice_256=lambda: curves['dice'].mean(),
            iou_256=lambda: curves['iou'].mean(),
            hd95=lambda: hausdorff_95(pred, target),
            surface_dice=lambda: surface_dice(pred, target, self.surface_tolerance),
            object_recall=lambda: covered_share(target, pred),
            object_precision=lambda: covered_share(pred, target),
        )
        skipped = _SKIPPED if self.empty_policy == 'skip' and not some else ()
        scores = [math.nan if n in skipped else float(formulas[n]()) for n in self.names]
        best_is_asked = 'e_measure_max' in self.names
        return tuple(scores), curves['e'].astype(np.float32) if best_is_asked else None

    def columns(self, entries: Sequence[tuple]) -> tuple[dict[str, np.ndarray], int | None]:
        """Bring the scores of all images together.

        ``e_measure_max`` is the E-measure at the one threshold with the highest mean over the
        images, as published: not the mean of each image's own maximum.

        Args:
            entries: Results of :meth:`__call__`, one per image.

        Returns:
            tuple: One array of shape (N,) per name, in per cent or pixels, and the threshold of
            ``e_measure_max`` times 255, or None.
        """
        values = np.array([entry[0] for entry in entries], np.float64).reshape(len(entries), -1)
        columns = {name: values[:, i] for i, name in enumerate(self.names)}
        best = None
        if 'e_measure_max' in columns:
            curves = np.stack([entry[1] for entry in entries])
            best = int(curves.mean(axis=0, dtype=np.float64).argmax())
            columns['e_measure_max'] = curves[:, best].astype(np.float64)
        for name, column in columns.items():
            if EXTRA_SCORES[name].unit == '%':
                columns[name] = 100 * column
        return columns, best
