"""Score a folder of predicted masks or probability maps, whatever program made them.

    python tools/analysis_tools/evaluate_folder.py PRED GT [--list FILE] [--size 256 256]

PRED holds one image per image of GT, of the same name (endings may differ): grey values 0..255 are
probabilities, 0/255 and 0/1 masks are recognised. GT holds 0/1 or 0/255 masks, told apart file by
file; for label masks give --mask-mode nonzero. The scores are those of PerImageBinaryMetric,
computed by it: per image on the foreground, averaged over images. docs/scores.md explains them.

Predictions and truths are compared at
    the size of the truth          (default, --protocol original),
    the size of the prediction     (--protocol input_size), or
    the size HEIGHT WIDTH          (--size, protocol input_size).
Predictions of another size are resized bilinearly, as probabilities, before they are cut. Truths
are cut to 0/1, resized bilinearly, and cut at 0.5 again.
"""

import argparse
import contextlib
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import mmcv
import numpy as np
import torch
from _prediction_folder import (
    MODES,
    FolderError,
    check_files,
    detect_mode,
    match,
    read_probability,
)
from _report import check_writable, number, table, write_json

from condseg_mmseg.datasets.files import FolderIndex, read_names
from condseg_mmseg.datasets.load_binary_mask import binarize
from condseg_mmseg.datasets.mask_resize import resize_mask, resize_soft
from condseg_mmseg.datasets.mask_values import highest_value, mask_scale, to_grey
from condseg_mmseg.evaluation import PerImageBinaryMetric
from condseg_mmseg.evaluation.extra_scores import EXTRA_SCORES, MAP_NORMS
from condseg_mmseg.evaluation.functional import EMPTY_POLICIES
from condseg_mmseg.evaluation.per_image_metric import SCORE_KEYS
from condseg_mmseg.evaluation.sizes import SIZE_GROUPS
from condseg_mmseg.utils.arguments import refuse_inputs

TRUTHS = {
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
    """

    def __init__(self, mask_mode: str) -> None:
        from mmseg.datasets.transforms import LoadAnnotations

        self.load = LoadAnnotations()
        self.mode = mask_mode

    def load_file(self, path: str) -> dict:
        """Decode a mask; its size is ``ori_shape`` of the result."""
        results = dict(seg_map_path=path, seg_fields=[], reduce_zero_label=False, label_map=None)
        results = self.load(results)
        results['ori_shape'] = results['img_shape'] = results['gt_seg_map'].shape[:2]
        return results

    def at(self, results: dict, shape: tuple[int, int] | None) -> np.ndarray:
        """Bring a decoded mask to 0/1 and to a size (None: its own)."""
        mask = binarize(results['gt_seg_map'], self.mode, name=results['seg_map_path'])
        return mask if shape is None else resize_mask(mask, shape)

    def inspect(self, paths: Sequence[str]) -> str:
        """Look at all masks, at their own size, before any is scored.

        Returns:
            What was found, in words.

        Raises:
            FolderError: The mode ``'auto'`` can make nothing of a mask, or no mask has foreground,
                so that there is nothing to find and a wrong mode is likely.
        """
        kinds, problems, highest = Counter(), [], 0
        for path in paths:
            mask = self.load_file(path)['gt_seg_map']
            top = highest_value(mask)
            if self.mode == 'threshold':
                top = int(to_grey(mask).max(initial=0))
            highest = max(highest, top)
            if top <= (127 if self.mode == 'threshold' else 0):
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
            raise FolderError(
                f'all {len(paths)} true masks are empty ({TRUTHS[self.mode]}): '
                f'their highest value is {highest}'
                + ('; try --mask-mode auto' if self.mode == 'threshold' and highest else ''),
                [],
            )
        return ', '.join(f'{kind} ({n} of {len(paths)})' for kind, n in sorted(kinds.items()))


def make_sample(
    name: str, prediction: str, mask: str, truth: TruthReader, args: argparse.Namespace
) -> dict:
    """Make the data sample that mmseg would hand to the metric."""
    probability = read_probability(prediction, args.pred_mode)
    decoded = truth.load_file(mask)
    shape = None  # the truth's own
    if args.protocol == 'input_size':
        shape = args.size or probability.shape
    target = truth.at(decoded, shape)
    shape = target.shape
    if probability.shape != shape:
        if args.protocol == 'input_size':  # as the truth, so that its copy scores 100
            probability = resize_soft(probability, shape)
        else:
            probability = mmcv.imresize(probability, shape[::-1], interpolation='bilinear')
    probability = torch.from_numpy(probability)[None]  # (1, H, W)
    return dict(
        img_path=name,
        seg_map_path=mask,
        ori_shape=shape,
        img_shape=shape,
        seg_logits=dict(data=probability),
        pred_sem_seg=dict(data=(probability > args.threshold).to(probability)),
        gt_sem_seg=dict(data=torch.from_numpy(target.astype(np.int64))[None]),
    )


def progress(items: list) -> Iterator:
    """Go through items, with a bar where someone watches."""
    if not sys.stderr.isatty():
        yield from items
        return
    from mmengine.utils import ProgressBar

    bar = ProgressBar(len(items), file=sys.stderr)
    for item in items:
        yield item
        bar.update()
    sys.stderr.write('\n')


def summary_table(metric: PerImageBinaryMetric, result: dict) -> str:
    """Lay out the results: one row per score."""
    ends = ['low', 'high'] if metric.bootstrap else []
    groups = [group for group in SIZE_GROUPS if f'mDice_{group}' in result]
    rows = []
    for name, values in metric.table.scores.items():
        key, score = SCORE_KEYS[name], EXTRA_SCORES.get(name)
        numbers = [result[key], *(result[f'{key}_{part}'] for part in (*ends, *groups))]
        images = np.count_nonzero(~np.isnan(values))
        rows.append([key, *map(number, numbers), score.unit if score else '%', str(images)])
    header = ['score', 'mean', *(f'95 % {end}' for end in ends), *groups, 'unit', 'images']
    return table(header, rows)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('pred', help='folder of predictions (PNG, JPEG, BMP, TIFF)')
    parser.add_argument('gt', help='folder of true masks')
    parser.add_argument('--list', help='text file of names to score, one a line (default: all)')
    parser.add_argument('--pred-suffix', help="what follows the name in PRED, e.g. '_pred'")
    parser.add_argument('--gt-suffix', help="what follows the name in GT, e.g. '_segmentation'")
    parser.add_argument(
        '--allow-missing', action='store_true', help='leave out images without a counterpart'
    )
    parser.add_argument(
        '--pred-mode', choices=MODES, default='auto',
        help='grey values as probabilities, or labels with all but 0 foreground (default: detect)',
    )  # fmt: skip
    parser.add_argument(
        '--threshold', type=float, default=0.5, help='foreground is p > threshold (default: 0.5)'
    )
    parser.add_argument(
        '--mask-mode', choices=('auto', 'threshold', 'nonzero'), default='auto',
        help='true masks: 0/1 or 0/255, told apart file by file; above 127 of 255; or labels with '
        'all but 0 foreground (default: auto)',
    )  # fmt: skip
    parser.add_argument('--size', type=int, nargs=2, metavar=('HEIGHT', 'WIDTH'))
    parser.add_argument('--protocol', choices=('original', 'input_size'))
    parser.add_argument(
        '--strict-size', action='store_true',
        help='refuse predictions that would have to be resized',
    )  # fmt: skip
    parser.add_argument('--empty-policy', choices=EMPTY_POLICIES, default='strict')
    parser.add_argument(
        '--extra-metrics', nargs='+', default=(), choices=(*EXTRA_SCORES, 'all'), metavar='NAME',
        help=f'further scores: {", ".join(EXTRA_SCORES)}, or all',
    )  # fmt: skip
    parser.add_argument(
        '--map-norm', choices=MAP_NORMS, default='none', help='minmax: as PraNet (default: none)'
    )
    parser.add_argument('--surface-tolerance', type=float, default=2.0, help='pixels (default: 2)')
    parser.add_argument('--size-groups', action='store_true', help='results by size of the object')
    parser.add_argument('--bootstrap', type=int, default=0, metavar='N', help='resamples')
    parser.add_argument('--seed', type=int, default=0, help='of the resamples (default: 0)')
    parser.add_argument('--csv', type=Path, help='file for the scores of every image')
    parser.add_argument('--json', type=Path, help='file for settings and results')
    args = parser.parse_args(argv)
    check_args(parser, args)
    return args


def check_args(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse options that contradict each other, and fill in what follows from others."""
    if 'all' in args.extra_metrics:
        args.extra_metrics = tuple(EXTRA_SCORES)
    args.protocol = args.protocol or ('input_size' if args.size else 'original')
    if args.size and args.protocol == 'original':
        parser.error("--size makes the protocol input_size; leave out '--protocol original'")
    if args.size and min(args.size) < 1:
        parser.error(f'--size needs two numbers of pixels, got {args.size}')
    args.size = tuple(args.size) if args.size else None
    if not 0 <= args.threshold < 1:
        parser.error(f'--threshold must lie in 0..1, below 1, got {args.threshold}')
    if problem := check_writable(args.json):
        parser.error(problem)


def run(args: argparse.Namespace) -> dict:
    """Score the folders, print the table and write the files.

    Returns:
        Settings and results, as in the JSON file.
    """
    metric = PerImageBinaryMetric(
        empty_policy=args.empty_policy,
        protocol=args.protocol,
        csv_path=None if args.csv is None else str(args.csv),
        prefix='image',
        extra_metrics=args.extra_metrics,
        map_norm=args.map_norm,
        surface_tolerance=args.surface_tolerance,
        size_groups=args.size_groups,
        bootstrap=args.bootstrap,
        bootstrap_seed=args.seed,
    )
    names = read_names(args.list) if args.list else None
    if names is not None and not names:
        raise ValueError(f'{args.list} holds no name')
    predictions = FolderIndex(args.pred, args.pred_suffix)
    truths = FolderIndex(args.gt, args.gt_suffix)
    inputs = [Path(i.folder, file) for i in (predictions, truths) for file in i.files]
    for option, path in (('--csv', args.csv), ('--json', args.json)):
        refuse_inputs(option, path, [*inputs, args.list])
    pairs = match(predictions, truths, names, args.allow_missing)
    size = 'truth' if args.protocol == 'original' else args.size or 'prediction'
    resized = check_files(pairs, size, args.strict_size)
    seen = f'{args.pred_mode} (forced)'
    if args.pred_mode == 'auto':
        args.pred_mode, seen = detect_mode([path for _, path, _ in pairs.paths])
    truth = TruthReader(args.mask_mode)
    kinds = truth.inspect([path for *_, path in pairs.paths])
    for paths in progress(pairs.paths):
        metric.process({}, [make_sample(*paths, truth, args)])
    with contextlib.redirect_stdout(sys.stderr):  # mmengine's log
        result = metric.evaluate(len(pairs.paths))

    print(f'{args.pred} against {args.gt}: {len(pairs.paths)} images')
    print(f'predictions: {seen}; foreground where p > {args.threshold:g}')
    print(f'truth: {kinds}')
    print(f'scored at {scored_size(args)}, empty masks {args.empty_policy}')
    if resized:
        print(f'{resized} predictions had another size and were resized bilinearly')
    for what, left_out in (('truths without a prediction', pairs.missing),
                           ('predictions without a truth', pairs.extra)):  # fmt: skip
        if left_out:
            print(f'left out: {len(left_out)} {what}: {shorten(left_out)}')
    if args.size_groups:
        print(metric.table.describe_groups())
    plain = {key.removeprefix('image/'): value for key, value in result.items()}
    print('\n' + summary_table(metric, plain))
    settings = {key: str(v) if isinstance(v, Path) else v for key, v in vars(args).items()}
    return dict(
        settings=settings,
        predictions=seen,
        truths=kinds,
        images=len(pairs.paths),
        resized=resized,
        missing=pairs.missing,
        extra=pairs.extra,
        undefined=metric.table.undefined(),
        results=dict(result),
    )


def scored_size(args: argparse.Namespace) -> str:
    """Say at which size images are compared."""
    if args.protocol == 'original':
        return 'the size of the truth (protocol original)'
    size = f'{args.size[0]} x {args.size[1]} (height x width)' if args.size else 'that of each'
    size += '' if args.size else ' prediction'
    return f'{size} (protocol input_size)'


def shorten(names: Iterable[str], shown: int = 5) -> str:
    """Name the first few."""
    names = list(names)
    return ', '.join(names[:shown]) + (', ...' if len(names) > shown else '')


def main(argv: list[str] | None = None) -> int:
    """Run the command line."""
    args = parse_args(argv)
    try:
        report = run(args)
    except (ValueError, OSError, ImportError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    if args.json:
        write_json(args.json, report)
    return 0


if __name__ == '__main__':
    sys.exit(main())
