"""Measure how well maps of uncertainty find wrongly classified pixels.

    python tools/dev/uncertainty_worth.py [RUN ...]

RUN is a folder of run_queue.py that holds a ConDSeg, such as
runs/table/ConDSeg-two-stages/seed0; without one it is the packed network. Last checkpoints predict
the sets of pack_weights.py at the input size, from data/. The area under the ROC curve and the
average precision are those of all pixels of a set together, of which every 7th is taken. Each
network leaves a file in docs/results/uncertainty, and `make results` writes the table there.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from dev_common import ROOT, made_with, slug, trained
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmseg.apis import init_model
from mmseg.registry import DATASETS
from pack_weights import SETS
from sklearn.metrics import average_precision_score, roc_auc_score

from condseg_mmseg.apis import pretrained
from condseg_mmseg.evaluation.uncertainty import uncertainty
from condseg_mmseg.utils.errors import UserError
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


def networks(runs: Sequence[Path]) -> Iterator[tuple[str, str, Any]]:
    """Name, label and network of each run, or of the packed one where there is none."""
    if not runs:
        yield NAME, 'shipped weights', pretrained(NAME)
    for run in runs:
        record = Config.fromfile(run / 'run.json')
        config, checkpoint = trained(run)
        model = init_model(Config.fromfile(config), str(checkpoint), device='cpu')
        yield f'{slug(record.label)}-seed{record.seed}', record.label, model


def main(argv: list[str] | None = None) -> int:
    """Measure both sets with every network, and write its file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('runs', type=Path, nargs='*', metavar='RUN')
    parser.add_argument('--to', type=Path, default=ROOT, metavar='DIR',
                        help='checkout; default: that of this tool')  # fmt: skip
    args = parser.parse_args(argv)
    try:
        for name, label, model in networks(args.runs):
            found = {
                key: {'on': on} | measure(model, options) for key, (on, options) in SETS.items()
            }
            head = {'network': name, 'label': label, 'every': EVERY, 'sets': found}
            where = {'environment': made_with(torch.get_num_threads())}
            write_json(args.to / 'docs/results/uncertainty' / f'{name}.json', head | where)
    except (UserError, FileNotFoundError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main())
