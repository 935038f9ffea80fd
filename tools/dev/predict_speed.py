"""Images a second of `condseg predict` against mmseg's MMSegInferencer, from files to mask files.

python tools/dev/predict_speed.py CONFIG CHECKPOINT IMAGES [--num 64] [--repeats 5] [--threads 2]

The variants alternate in one process; the medians of the ratios to the inferencer are reported, of
time and of processor time (with the workers'), which other work on the machine disturbs less, and
whether the masks are the same. Both write PNG files by OpenCV.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from dev_common import made_with
from mmseg.apis import MMSegInferencer
from PIL import Image

from condseg_mmseg.apis.predict import load_predictor, predict_files
from condseg_mmseg.utils.tables import number, table

VARIANTS: dict[str, dict[str, int]] = {
    'condseg predict': {},
    'condseg predict, batch 1, no workers': dict(batch_size=1, workers=0),
    'condseg predict, batch 1, 2 workers': dict(batch_size=1, workers=2),
}
BASELINE = 'MMSegInferencer, batch 1'


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', type=Path)
    parser.add_argument('checkpoint', type=Path)
    parser.add_argument('images', type=Path, help='folder')
    parser.add_argument('--num', type=int, default=64, help='images (default: 64)')
    parser.add_argument('--repeats', type=int, default=5, help='default: 5')
    parser.add_argument('--threads', type=int, help="of torch; default: torch's own number")
    parser.add_argument('--device', default='cpu', help='default: cpu')
    return parser


def main(argv: list[str] | None = None) -> int:
    args = make_parser().parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    images = sorted(path for path in args.images.iterdir() if path.is_file())[: args.num]
    predictor = load_predictor(config=args.config, checkpoint=args.checkpoint, device=args.device)
    inferencer = MMSegInferencer(
        str(args.config), str(args.checkpoint), device=args.device, show_progress=False
    )

    def baseline(folder: Path) -> None:
        folder.mkdir()
        for path in images:  # its out_dir= would draw every image, too, which takes seconds
            labels = inferencer(str(path))['predictions'].astype(np.uint8)
            cv2.imwrite(str(folder / f'{path.stem}.png'), labels)

    calls: dict[str, Callable[[Path], object]] = {BASELINE: baseline}
    for name, options in VARIANTS.items():
        calls[name] = lambda out, o=options: predict_files(images, out, predictor, **o)
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    processor: dict[str, list[float]] = {name: [] for name in calls}
    different = dict.fromkeys(calls, 0)
    for repeat in range(args.repeats + 1):  # the first is a warm-up
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            for i, (name, call) in enumerate(calls.items()):
                out = Path(folder, str(i))
                start, busy = time.perf_counter(), sum(os.times()[:4])
                call(out)
                if repeat:
                    seconds[name].append(time.perf_counter() - start)
                    processor[name].append(sum(os.times()[:4]) - busy)
                else:
                    different[name] = differing_pixels(Path(folder, '0'), out, images)
    rows = []
    for name, times in seconds.items():
        speed = len(images) / statistics.median(times)
        ratios = [ratio(seconds, name), ratio(processor, name)]
        rows.append([name, number(speed, 1), *map(number, ratios), str(different[name])])
    print(json.dumps(made_with(torch.get_num_threads())), '', sep='\n')
    head = ['from files to files', 'images/s', 'ratio', 'of processor time', 'pixels that differ']
    print(table(head, rows))
    return 0


def ratio(times: dict[str, list[float]], name: str) -> float:
    return statistics.median(a / b for a, b in zip(times[BASELINE], times[name], strict=True))


def differing_pixels(baseline: Path, out: Path, images: list[Path]) -> int:
    """Compare mask files with those of the inferencer."""
    total = 0
    for path in images if out != baseline else []:
        name = f'{path.stem}.png'
        with Image.open(baseline / name) as expected, Image.open(out / 'masks' / name) as found:
            values = np.array(found) // (255 if found.mode == 'L' else 1)
            total += int((values != np.array(expected)).sum())
    return total


if __name__ == '__main__':
    sys.exit(main())
