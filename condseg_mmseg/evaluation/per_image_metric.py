"""Scores per image on the foreground, averaged over images."""

from __future__ import annotations

import csv
import os
import os.path as osp
import sys
import tempfile
import warnings
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from mmseg.registry import METRICS

from .functional import EMPTY_POLICIES, SCORES, confusion_counts, mean_scores, scores_from_counts

_KEYS = dict(
    iou='mIoU', dice='mDice', recall='mRecall', precision='mPrecision', f2='mF2', accuracy='mAcc'
)
_PROTOCOLS = ('input_size', 'original')


@METRICS.register_module()
class PerImageBinaryMetric(BaseMetric):
    """IoU, Dice, recall, precision, F2 and accuracy of each image, averaged over the images.

    This is how polyp, gland and lesion papers score. mmseg's ``IoUMetric`` adds areas over the
    data set and averages the background in; run it beside this one under ``prefix='dataset'``.

    All scores are **percent**, as everywhere in mmseg, and not rounded: ``image/mIoU``,
    ``image/mDice``, ``image/mRecall``, ``image/mPrecision``, ``image/mF2`` and ``image/mAcc``
    (share of right pixels). Only four counts per image are kept. Gathered from several processes
    an image counts once, however the sampler padded.

    Args:
        empty_policy: What an empty truth or prediction scores: ``'strict'`` (default),
            ``'official'`` or ``'skip'``; see :func:`.functional.scores_from_counts`.
        protocol: Size at which the test pipeline compares, verified on every sample:
            ``'input_size'`` (default; as published, needs ``ScoreAtInputSize``) or
            ``'original'`` (size of the image file).
        foreground: Labels that together are the foreground. Default ``(1,)``.
        ignore_index: True label that is left out. Default 255.
        csv_path: File for one row per image (path, counts, scores in percent, empty where
            undefined); rewritten by every evaluation. Its folder is made. Default None: no file.
        collect_device: As in mmengine. Default ``'cpu'``.
        prefix: Default None: ``image``.
        collect_dir: As in mmengine. Default None.

    Raises:
        ValueError: At construction for an unknown policy or protocol, no foreground, or a
            ``csv_path`` that cannot be written; at run time for a sample that breaks the protocol
            or has no truth, path or proper label.
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
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix, collect_dir=collect_dir)
        if empty_policy not in EMPTY_POLICIES:
            raise ValueError(f'empty_policy must be one of {EMPTY_POLICIES}, got {empty_policy!r}')
        if protocol not in _PROTOCOLS:
            raise ValueError(f'protocol must be one of {_PROTOCOLS}, got {protocol!r}')
        foreground = tuple(foreground)
        if not foreground or ignore_index in foreground:
            raise ValueError(
                'foreground must name labels other than ignore_index='
                f'{ignore_index}, got {foreground}'
            )
        self.empty_policy = empty_policy
        self.protocol = protocol
        self.foreground = foreground
        self.ignore_index = ignore_index
        self.csv_path = csv_path
        self._size: int | None = None
        if csv_path is not None:
            _prepare(csv_path)

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Add one entry (path of the image, path of the mask, counts) per sample.

        Args:
            data_batch: Not used.
            data_samples: Dicts with ``img_path``, ``ori_shape``, ``img_shape`` and with the label
                maps ``pred_sem_seg`` and ``gt_sem_seg``, their ``data`` of shape (1, H, W).
        """
        for sample in data_samples:
            path = sample.get('img_path')
            if not path:
                raise ValueError(
                    'a sample has no img_path, by which images are counted once; '
                    'keep it in the meta_keys of PackSegInputs'
                )
            if 'gt_sem_seg' not in sample:
                raise ValueError(f'{path}: the sample has no mask to score against')
            self._check_protocol(path, sample)
            pred = sample['pred_sem_seg']['data'].squeeze(0)
            target = sample['gt_sem_seg']['data'].squeeze(0)
            if pred.shape != target.shape:
                raise ValueError(
                    f'{path}: the prediction has shape {tuple(pred.shape)}, the mask '
                    f'{tuple(target.shape)}. Put LoadAnnotations after Resize in the test '
                    'pipeline, with ScoreAtInputSize behind it to score at the input size'
                )
            self._check_labels(path, target)
            counts = confusion_counts(pred, target, self.foreground, self.ignore_index)
            self.results.append((path, sample.get('seg_map_path', ''), *counts.tolist()))

    def _check_protocol(self, path: str, sample: dict) -> None:
        original = tuple(sample['ori_shape'][:2])
        network = tuple(sample['img_shape'][:2])
        if self.protocol == 'input_size':
            if original != network:
                raise ValueError(
                    f"{path}: protocol='input_size', but the prediction goes back to "
                    f'{original} from {network} (height, width). Add ScoreAtInputSize to the '
                    "test pipeline, or declare protocol='original'"
                )
            return
        # An image that happens to have the input size has the scale factor 1.
        scale = sample.get('scale_factor')
        if original == network and scale is not None and not np.allclose(scale, 1.0, atol=1e-6):
            raise ValueError(
                f"{path}: protocol='original', but the sample is compared at {network} (height, "
                f'width) after a resize by {scale}. Remove ScoreAtInputSize from the test '
                "pipeline, or declare protocol='input_size'"
            )

    def _check_labels(self, path: str, target: torch.Tensor) -> None:
        classes = (self.dataset_meta or {}).get('classes') or (None, None)
        wrong = (target != self.ignore_index) & ((target < 0) | (target >= len(classes)))
        if wrong.any():
            values = torch.unique(target[wrong])[:10].tolist()
            raise ValueError(
                f'{path}: its mask has the labels {values} beside 0..{len(classes) - 1} and '
                f'{self.ignore_index} (ignored); is BinarizeMask missing in the test pipeline?'
            )

    def evaluate(self, size: int) -> dict:
        """Gather the counts of all processes and compute the means.

        Args:
            size: Number of images of the data set.

        Returns:
            dict: The means in percent, by prefixed name.
        """
        self._size = size
        # mmengine would keep the first `size` entries, whichever images they are; duplicates are
        # dropped by name instead.
        return super().evaluate(sys.maxsize)

    def compute_metrics(self, results: list) -> dict:
        """Compute the means over images, and write the CSV file.

        Args:
            results: Entries of :meth:`process`, of all processes.

        Returns:
            dict: The means in percent.
        """
        unique: dict[tuple, tuple] = {}
        for image, mask, *counts in results:
            unique.setdefault((image, mask), tuple(counts))
        names = list(unique)
        if not names:
            raise ValueError('no image was scored')
        if self._size not in (None, len(names)):
            warnings.warn(
                f'{len(names)} different images were scored in a data set of {self._size}',
                UserWarning,
                stacklevel=2,
            )
        counts = np.array([unique[name] for name in names], dtype=np.int64)
        scores = {
            name: 100 * values
            for name, values in scores_from_counts(counts, self.empty_policy).items()
        }
        if self.csv_path is not None:
            self._write(names, counts, scores)
        print_log(
            f'{type(self).__name__}: {len(names)} images, protocol {self.protocol}, empty '
            f'masks {self.empty_policy}',
            logger='current',
        )
        return OrderedDict((_KEYS[name], mean) for name, mean in mean_scores(scores).items())

    def _write(self, names: list, counts: np.ndarray, scores: dict[str, np.ndarray]) -> None:
        temporary = f'{self.csv_path}.{os.getpid()}.tmp'
        try:
            with open(temporary, 'w', newline='', encoding='utf-8') as file:
                writer = csv.writer(file)
                writer.writerow(['img_path', 'tp', 'fp', 'fn', 'tn', *SCORES])
                for i, (path, _) in enumerate(names):
                    row = [scores[name][i] for name in SCORES]
                    row = ['' if np.isnan(value) else repr(float(value)) for value in row]
                    writer.writerow([path, *counts[i].tolist(), *row])
            os.replace(temporary, self.csv_path)
        finally:
            if osp.exists(temporary):  # the write failed
                os.unlink(temporary)


def _prepare(csv_path: str) -> None:
    """Make the folder of ``csv_path`` and see that a file can be written there."""
    folder = osp.dirname(osp.abspath(csv_path))
    try:
        os.makedirs(folder, exist_ok=True)
        if osp.isdir(csv_path):
            raise IsADirectoryError('it is a folder')
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(f'csv_path {csv_path!r} cannot be written: {error}') from error
