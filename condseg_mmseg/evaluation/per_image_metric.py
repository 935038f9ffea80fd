"""Scores per image on the foreground, averaged over images."""

from __future__ import annotations

import logging
import sys
import warnings
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from mmseg.registry import METRICS

from ..utils.arguments import check_output
from ..utils.errors import UserError
from .extra_scores import EXTRA_SCORES, ExtraScorer
from .functional import EMPTY_POLICIES, confusion_counts, scores_from_counts
from .sample_checks import PROTOCOLS, check_truth, checked_labels, foreground_probability
from .score_table import ScoreTable

SCORE_KEYS = dict(
    iou='mIoU', dice='mDice', recall='mRecall', precision='mPrecision', f2='mF2', accuracy='mAcc'
) | {name: score.key for name, score in EXTRA_SCORES.items()}
"""Name of the mean among the results, by the score's name in the CSV file."""


class ImageResult(NamedTuple):
    """What is kept of an image until its data set is complete: numbers, never maps.

    Args:
        image: Its path.
        mask: Path of its mask, empty where the sample has none.
        counts: tp, fp, fn, tn.
        extra: What :class:`ExtraScorer` returns for it. Default (): no further scores.
    """

    image: str
    mask: str
    counts: tuple[int, ...]
    extra: tuple = ()


@METRICS.register_module()
class PerImageBinaryMetric(BaseMetric):
    """IoU, Dice, recall, precision, F2 and accuracy of each image, averaged over the images.

    This is how polyp, gland and lesion papers score. mmseg's ``IoUMetric`` adds areas over the
    data set and averages the background in; run it beside this one under ``prefix='dataset'``.

    All scores are **percent**, as everywhere in mmseg, and not rounded: ``image/mIoU``,
    ``image/mDice``, ``image/mRecall``, ``image/mPrecision``, ``image/mF2`` and ``image/mAcc``
    (share of right pixels). Numbers are kept, never maps: four counts per image, and what
    ``extra_metrics`` add. Gathered from several processes an image counts once, however the
    sampler padded. Formulas, ranges and empty masks: ``docs/scores.md``.

    ========================  =====================  ==========================================
    ``extra_metrics``         result                 computed from
    ========================  =====================  ==========================================
    ``s_measure``             ``mSmeasure``          probabilities
    ``e_measure_max``         ``maxEmeasure``        probabilities at 256 thresholds: maximum
                                                     of the mean over images (1 KB an image)
    ``e_measure_mean``        ``meanEmeasure``       the same: mean over the thresholds
    ``e_measure_adaptive``    ``adpEmeasure``        probabilities cut at twice their mean
    ``weighted_f``            ``mWeightedF``         probabilities; needs SciPy
    ``mae``                   ``mMAE``               probabilities; lower is better
    ``dice_256, iou_256``     ``mDice256, mIoU256``  mean over 256 thresholds, as PraNet's tools
    ``hd95``                  ``mHD95``              labels; in **pixels** of the scored size,
                                                     lower is better; needs MONAI
    ``surface_dice``          ``mSurfaceDice``       labels; needs MONAI
    ``object_recall``         ``mObjectRecall``      labels
    ``object_precision``      ``mObjectPrecision``   labels
    ========================  =====================  ==========================================

    Probabilities are those of ``seg_logits``: as they are for one channel, where mmseg has
    applied the sigmoid, after a softmax for several.

    Args:
        empty_policy: What an empty truth or prediction scores: ``'strict'`` (default),
            ``'official'`` or ``'skip'``; see :func:`.functional.scores_from_counts`.
        protocol: Size at which the test pipeline compares, verified on every sample:
            ``'input_size'`` (default; as published, needs ``ScoreAtInputSize``) or
            ``'original'`` (size of the image file).
        foreground: Labels that together are the foreground. Default ``(1,)``.
        ignore_index: True label that is left out. Default 255.
        csv_path: File for one row per image (path, counts, scores, empty where undefined, size
            group); rewritten by every evaluation. Its folder is made. Default None: no file.
        collect_device: As in mmengine. Default ``'cpu'``.
        prefix: Default None: ``image``.
        collect_dir: As in mmengine. Default None.
        extra_metrics: Names from the table above. Default ``()``: none, so that validation stays
            cheap.
        map_norm: What is done to probabilities first: ``'none'`` (default) or ``'minmax'``, by
            which PraNet's evaluation stretches every map to 0..1. The labels stay.
        surface_tolerance: Distance that ``surface_dice`` forgives, in pixels. Default 2.
        size_groups: Also give every mean over the images with small, medium and large objects
            (``image/mDice_small``, ...): thirds of the scored set by the true share of the image.
            Images without foreground go to ``_empty``. Default False.
        bootstrap: Number of resamples for the 95 % percentile interval of every mean over the
            images (``image/mDice_low``, ``image/mDice_high``), e.g. 1000. Default 0: none.
        bootstrap_seed: Of the resamples. Default 0.

    Attributes:
        table (ScoreTable | None): The last evaluation's scores of every image, in the process
            that computed them.

    Raises:
        ValueError: At construction for an unknown policy, protocol or score, no foreground, or a
            ``csv_path`` that cannot be written; at run time for a sample that breaks the protocol
            or has no truth, path, proper label or, where a score asks for them, probabilities.
        ImportError: At construction, if a score needs a package that is missing.
    """

    default_prefix = 'image'

    def __init__(
        self,
        empty_policy: str = 'strict',
        protocol: str = 'input_size',
        foreground: Sequence[int] = (1,),
        ignore_index: int = 255,
        csv_path: str | None = None,
        collect_device: str = 'cpu',
        prefix: str | None = None,
        collect_dir: str | None = None,
        extra_metrics: Sequence[str] = (),
        map_norm: str = 'none',
        surface_tolerance: float = 2.0,
        size_groups: bool = False,
        bootstrap: int = 0,
        bootstrap_seed: int = 0,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix, collect_dir=collect_dir)
        if empty_policy not in EMPTY_POLICIES:
            raise ValueError(f'empty_policy must be one of {EMPTY_POLICIES}, got {empty_policy!r}')
        if protocol not in PROTOCOLS:
            raise ValueError(f'protocol must be one of {PROTOCOLS}, got {protocol!r}')
        foreground = tuple(foreground)
        if not foreground or ignore_index in foreground:
            raise ValueError(
                'foreground must name labels other than ignore_index='
                f'{ignore_index}, got {foreground}'
            )
        if isinstance(bootstrap, bool) or not isinstance(bootstrap, int) or bootstrap < 0:
            raise ValueError(
                f'bootstrap must be a number of resamples, 0 for none, got {bootstrap!r}'
            )
        self.extra = ExtraScorer(extra_metrics, empty_policy, map_norm, surface_tolerance)
        self.size_groups = size_groups
        self.bootstrap = bootstrap
        self.bootstrap_seed = bootstrap_seed
        self.empty_policy = empty_policy
        self.protocol = protocol
        self.foreground = foreground
        self.ignore_index = ignore_index
        self.csv_path = csv_path
        self.table: ScoreTable | None = None
        self._size: int | None = None
        if csv_path is not None:
            check_output('csv_path', csv_path, force=True)

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Add one :class:`ImageResult` per sample.

        Args:
            data_batch: Not used.
            data_samples: Dicts with ``img_path``, ``ori_shape``, ``img_shape`` and with the label
                maps ``pred_sem_seg`` and ``gt_sem_seg``, their ``data`` of shape (1, H, W), and,
                for scores of probabilities, ``seg_logits``, its ``data`` of shape (C, H, W).
        """
        classes = (self.dataset_meta or {}).get('classes') or (None, None)
        for sample in data_samples:
            path, pred, target = checked_labels(sample, self.protocol)
            check_truth(path, target, len(classes), self.ignore_index)
            counts = confusion_counts(pred, target, self.foreground, self.ignore_index)
            extra = self._extra(path, sample, pred, target) if self.extra.names else ()
            mask_path = sample.get('seg_map_path', '')
            self.results.append(ImageResult(path, mask_path, tuple(counts.tolist()), extra))

    def _extra(
        self, path: str, sample: dict, pred: torch.Tensor, target: torch.Tensor
    ) -> tuple[tuple[float, ...], np.ndarray | None]:
        probability = None
        if self.extra.map_names:
            if 'seg_logits' not in sample:
                raise UserError(
                    f'{path}: {", ".join(self.extra.map_names)} need probabilities, but the sample '
                    'has labels only (no seg_logits)'
                )
            logits = sample['seg_logits']['data']
            probability = foreground_probability(path, logits, self.foreground).numpy()
            if probability.shape != pred.shape:
                raise UserError(
                    f'{path}: seg_logits have the size {probability.shape}, the labels '
                    f'{tuple(pred.shape)}'
                )
        labels, truth = (x.to('cpu', torch.int64).numpy() for x in (pred, target))
        try:
            return self.extra(
                np.isin(labels, self.foreground),
                np.isin(truth, self.foreground),
                truth != self.ignore_index,
                probability,
            )
        except ValueError as error:
            raise UserError(f'{path}: {error}') from error

    def evaluate(self, size: int) -> dict:
        """Gather the counts of all processes and compute the means.

        Args:
            size: Number of images of the data set.

        Returns:
            dict: The means in percent, by prefixed name.
        """
        self._size = size
        # mmengine would keep the first `size` entries, repeated images among them; duplicates are
        # dropped by name instead.
        return super().evaluate(sys.maxsize)

    def compute_metrics(self, results: list) -> dict:
        """Compute the means over images, and write the CSV file.

        Args:
            results: Entries of :meth:`process`, of all processes; mmengine hands them on as plain
                tuples.

        Returns:
            dict: The means in percent.
        """
        unique: dict[tuple[str, str], ImageResult] = {}
        for result in map(ImageResult._make, results):
            unique.setdefault((result.image, result.mask), result)
        names = list(unique)
        if not names:
            raise UserError('no image was scored')
        if self._size not in (None, len(names)):
            warnings.warn(
                f'{len(names)} different images were scored in a data set of {self._size}',
                UserWarning,
                stacklevel=2,
            )
        counts = np.array([unique[name].counts for name in names], dtype=np.int64)
        shares = scores_from_counts(counts, self.empty_policy)
        scores = {name: 100 * values for name, values in shares.items()}
        best = None
        if self.extra.names:
            columns, best = self.extra.columns([unique[name].extra for name in names])
            scores |= columns
        self.table = table = ScoreTable(names, counts, scores)
        if self.size_groups:
            table.group_by_size()
        if self.csv_path is not None:
            table.write(self.csv_path)
        self._log(table, best)
        return self._metrics(table)

    def _metrics(self, table: ScoreTable) -> OrderedDict:
        metrics = OrderedDict((SCORE_KEYS[name], mean) for name, mean in table.means().items())
        if self.bootstrap:
            for name, ends in table.intervals(self.bootstrap, self.bootstrap_seed).items():
                metrics[f'{SCORE_KEYS[name]}_low'], metrics[f'{SCORE_KEYS[name]}_high'] = ends
        if self.size_groups:
            for group, means in table.group_means().items():
                metrics.update(
                    (f'{SCORE_KEYS[name]}_{group}', mean) for name, mean in means.items()
                )
        return metrics

    def _log(self, table: ScoreTable, best: int | None) -> None:
        def log(text: str, level: int = logging.INFO) -> None:
            print_log(f'{type(self).__name__}: {text}', logger='current', level=level)

        log(f'{len(table.names)} images, protocol {self.protocol}, empty masks {self.empty_policy}')
        if best is not None:
            log(f'e_measure_max is reached at the threshold {best} / 255')
        if self.size_groups:
            log(table.describe_groups())
        for name, count in table.undefined().items():
            log(f'{name} is undefined for {count} images, which are left out', logging.WARNING)
