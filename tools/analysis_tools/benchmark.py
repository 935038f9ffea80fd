"""Usage: python tools/analysis_tools/benchmark.py NAME [options].

Measure variants of one computation against each other on this machine: time (they alternate in one
process; the median of the ratios is reported), peak memory, and the largest difference of their
results, relative to the largest magnitude. On the CPU the memory is what one pass adds to the peak
resident memory of a fresh process, on a GPU what torch allocates. A Markdown table is printed.

Example:
    python tools/analysis_tools/benchmark.py stage1 --shape 256 256 --batch 1 --json stage1.json
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch
from _ablation_report import environment, machine_name, write
from _benchmark import stage1
from _benchmark.core import Benchmark, ChildError, measure, peak_bytes, table

BENCHMARKS: dict[str, Benchmark] = {'stage1': stage1.BENCHMARK}
MIN_SIDE = 32  # below it BatchNorm has a single value per channel to normalise


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f'must be 1 or more, got {text}')
    return value


def _side(text: str) -> int:
    value = int(text)
    if value < MIN_SIDE:
        raise argparse.ArgumentTypeError(f'must be {MIN_SIDE} or more, got {text}')
    return value


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest='name', required=True, metavar='NAME')
    for name, bench in BENCHMARKS.items():
        sub = commands.add_parser(
            name,
            help=bench.summary,
            description=bench.summary,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )
        sub.add_argument(
            '--shape', type=_side, nargs=2, default=(256, 256), metavar=('H', 'W'),
            help=f'size of the images in pixels, {MIN_SIDE} or more',
        )  # fmt: skip
        sub.add_argument('--batch', type=_positive, default=1, help='images')
        sub.add_argument('--repeats', type=_positive, default=10, help='timed rounds')
        sub.add_argument('--warmup', type=_positive, default=2, help='rounds before them')
        sub.add_argument('--threads', type=_positive, help="of torch (default: torch's)")
        sub.add_argument('--device', default='cpu', help='cpu or cuda')
        sub.add_argument(
            '--no-memory', dest='memory', action='store_false', help='leave out the peak memory'
        )
        sub.add_argument('--json', type=Path, metavar='FILE', help='write all figures here too')
        # one variant of one pass in a process of its own; prints the bytes
        sub.add_argument('--peak', nargs=2, help=argparse.SUPPRESS)
        bench.add_arguments(sub)
    return parser


def main(argv: list[str] | None = None) -> None:
    """Run the command line."""
    parser = make_parser()
    argv = sys.argv[1:] if argv is None else argv
    args = parser.parse_args(argv)
    bench = BENCHMARKS[args.name]
    if args.device != 'cpu' and not (args.device.startswith('cuda') and torch.cuda.is_available()):
        parser.error(f'--device must be cpu, or cuda where torch finds a GPU, got {args.device}')
    if args.json and not args.json.absolute().parent.is_dir():
        parser.error(f'folder of --json {args.json} does not exist')
    if args.threads:
        torch.set_num_threads(args.threads)
    if args.peak:
        print(json.dumps(peak_bytes(bench.make(args, *args.peak), args.device)))
        return
    try:
        record = measure(bench, args, [sys.executable, str(Path(__file__).resolve()), *argv])
    except ChildError as error:
        parser.exit(1, f'{parser.prog}: error: {error}\n')
    where = environment(torch.get_num_threads(), machine_name())
    if args.device != 'cpu':
        where['device'] = torch.cuda.get_device_name(args.device)
    hidden = ('name', 'json', 'peak', 'threads')
    settings = {key: value for key, value in vars(args).items() if key not in hidden}
    result = {'benchmark': args.name, 'settings': settings, 'environment': where, 'passes': record}
    if args.json:
        write(args.json, json.dumps(result, indent=2) + '\n')
    print(', '.join(f'{key} {value}' for key, value in (settings | where).items()))
    print()
    print(table(bench, record))


if __name__ == '__main__':
    main()
