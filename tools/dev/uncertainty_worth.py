"""Measure how well maps of uncertainty find wrongly classified pixels.

    python tools/dev/uncertainty_worth.py [OUT.json]

By default OUT.json is docs/results/uncertainty/condseg_lite0_polyp.json. The packed weights predict
the sets of pack_weights.py at the input size, from data/. The area under the ROC curve and the
average precision are those of all pixels of a set together, of which every 7th is taken.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from dev_common import ROOT, made_with
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmseg.registry import DATASETS
from pack_weights import SETS
from sklearn.metrics import average_precision_score, roc_auc_score

from condseg_mmseg.apis import pretrained
from condseg_mmseg.evaluation.uncertainty import uncertainty
from condseg_mmseg.utils.files import write_json
from condseg_mmseg.visualization.contact_sheet import sid_maps

NAME = 'condseg_lite0_polyp'
EVERY = 7  # a prime, so that no row or column of an image is favoured


def scores(wrong: np.ndarray, maps: Mapping[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Score maps of uncertainty as detectors.

    Args:
        wrong: Whether the prediction of a pixel is wrong, (N,).
        maps: Name -> uncertainty of the pixels, (N,).

    Returns:
        Name -> ``auc``, of the ROC curve, and ``average_precision``.
    """
    return {
        name: {
            'auc': round(float(roc_auc_score(wrong, values)), 4),
            'average_precision': round(float(average_precision_score(wrong, values)), 4),
        }
        for name, values in maps.items()
    }


@torch.no_grad()
def pixels(model: Any, sample: dict[str, Any]) -> dict[str, np.ndarray]:
    """Maps of one image at the input size, and where its prediction is wrong; each (H * W,)."""
    data = pseudo_collate([sample])
    (found,) = model.test_step(data)
    truth = sample['data_samples'].gt_sem_seg.data[0]
    probability = found.seg_logits.data  # (1, H, W), after the sigmoid
    first, second, third = map(torch.from_numpy, sid_maps(model, data, tuple(truth.shape)))
    result = {
        'wrong': found.pred_sem_seg.data[0] != truth,
        'third map': third,
        'entropy': uncertainty('entropy', probability),
        'sid': uncertainty('sid', first, second),
    }
    return {name: value.numpy().ravel() for name, value in result.items()}


def measure(model: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """Predict the test set of a model's config, changed by the options, and score the maps."""
    config = Config(model.cfg.to_dict())
    config.merge_from_dict(dict(options))
    images = DATASETS.build(config.test_dataloader.dataset)
    parts = [pixels(model, images[i]) for i in range(len(images))]
    joined = {name: np.concatenate([part[name] for part in parts])[::EVERY] for name in parts[0]}
    wrong = joined.pop('wrong')
    found: dict[str, Any] = {'images': len(images), 'pixels': len(wrong)}
    return found | {'wrong_share': round(float(wrong.mean()), 4), 'maps': scores(wrong, joined)}


def main(argv: list[str]) -> None:
    """Measure both sets, and write the file."""
    to = Path(argv[0]) if argv else ROOT / 'docs' / 'results' / 'uncertainty' / f'{NAME}.json'
    model = pretrained(NAME)
    found = {key: {'on': on} | measure(model, options) for key, (on, options) in SETS.items()}
    where = {'environment': made_with(torch.get_num_threads())}
    write_json(to, {'network': NAME, 'every': EVERY, 'sets': found} | where)


if __name__ == '__main__':
    main(sys.argv[1:])
