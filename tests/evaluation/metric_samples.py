"""Samples with probabilities for the tests of PerImageBinaryMetric."""

import numpy as np
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from condseg_mmseg.evaluation import PerImageBinaryMetric


def sample(
    name: str, logits: np.ndarray | None, target: np.ndarray, pred: np.ndarray | None = None
) -> dict:
    """Make what an evaluator hands over; ``logits`` of shape (H, W) are probabilities."""
    target = np.asarray(target)
    out = SegDataSample(
        metainfo=dict(img_path=name, ori_shape=target.shape, img_shape=target.shape)
    )
    if logits is not None:
        logits = torch.as_tensor(logits, dtype=torch.float32)
        logits = logits[None] if logits.dim() == 2 else logits
        out.seg_logits = PixelData(data=logits)
        if pred is None:
            pred = logits[0] > 0.5 if len(logits) == 1 else logits.argmax(0)
    out.pred_sem_seg = PixelData(data=torch.as_tensor(pred, dtype=torch.float32)[None])
    out.gt_sem_seg = PixelData(data=torch.as_tensor(target, dtype=torch.int64)[None])
    return out.to_dict()


def maps(i: int) -> tuple[np.ndarray, np.ndarray]:
    """A map of 8-bit probabilities and a truth of its own size, image by image."""
    rng = np.random.default_rng(i)
    target = np.zeros((13, 16), int)
    target[2 : 5 + i, 3 : 6 + i] = 1
    p = np.clip(0.55 * target + 0.6 * rng.random(target.shape), 0, 1)
    return (np.round(255 * p) / 255).astype(np.float32), target


def samples(number: int = 6) -> list[dict]:
    return [sample(f'{i}', *maps(i)) for i in range(number)]


def evaluate(entries: list, size: int | None = None, **options) -> dict:
    metric = PerImageBinaryMetric(prefix='image', **options)
    metric.process({}, entries)
    return metric.evaluate(size or len(entries))
