"""Seconds per training step of every method of the comparison, on an idle machine.

    python tools/dev/step_times.py [--steps 20] [--threads 1] [--out FILE]

One step of each method in turn, after two to warm up, on one batch of noise: 8 images of 160 x 160,
forward, losses, backward and optimizer, without loading data. Prints the medians and writes them,
with the machine, to docs/results/comparison/steps.json, which `make results` reads.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from dev_common import ROOT, build_model, made_with
from evidence_runs import ABLATION, LITE2, METHODS
from mmengine.optim import build_optim_wrapper
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from condseg_mmseg.configs import read_config
from condseg_mmseg.utils.files import write_json
from condseg_mmseg.utils.tables import number, table

TIMED = METHODS | ABLATION | LITE2
OUT = ROOT / 'docs' / 'results' / 'comparison' / 'steps.json'


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--steps', type=int, default=20, help='of each method (default: 20)')
    parser.add_argument('--threads', type=int, default=1, help='of torch (default: 1)')
    parser.add_argument('--out', type=Path, default=OUT, help='JSON file')
    return parser


def step_of(config: str) -> Callable[[], object]:
    """Build the model and the optimizer of a config; the call makes one training step."""
    cfg = read_config(config)
    torch.manual_seed(0)
    model = build_model(cfg).train()
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper)
    data = noise(cfg.train_dataloader.batch_size, *cfg.img_size[::-1])
    return lambda: model.train_step(dict(data), optimizer)


def noise(batch: int, height: int, width: int) -> dict[str, Any]:
    """A batch as a data loader makes it: noise, with a square for a mask."""
    samples = []
    for _ in range(batch):
        mask = torch.zeros(1, height, width, dtype=torch.uint8)
        mask[:, height // 4 : height // 2, width // 4 : width // 2] = 1
        meta = dict(img_shape=(height, width), ori_shape=(height, width))
        samples.append(SegDataSample(gt_sem_seg=PixelData(data=mask), metainfo=meta))
    images = torch.randint(0, 256, (batch, 3, height, width), dtype=torch.uint8)
    return dict(inputs=list(images), data_samples=samples)


def main(argv: list[str] | None = None) -> int:
    args = make_parser().parse_args(argv)
    torch.set_num_threads(args.threads)
    configs = sorted({config for of_method in TIMED.values() for config in of_method})
    steps = {config: step_of(config) for config in configs}
    times: dict[str, list[float]] = {config: [] for config in configs}
    for turn in range(2 + args.steps):
        for config, step in steps.items():
            start = time.perf_counter()
            step()
            if turn >= 2:
                times[config].append(time.perf_counter() - start)
    seconds = {config: round(statistics.median(values), 3) for config, values in times.items()}
    rows = [
        [label, ' + '.join(of_method), ' + '.join(number(seconds[name]) for name in of_method)]
        for label, of_method in TIMED.items()
    ]
    print(table(['method', 'config', 'seconds per step'], rows))
    write_json(args.out, dict(seconds=seconds, steps=args.steps, made_with=made_with(args.threads)))
    return 0


if __name__ == '__main__':
    sys.exit(main())
