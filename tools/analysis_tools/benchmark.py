"""Usage: python tools/analysis_tools/benchmark.py NAME [options].

Measure variants of one computation against each other on this machine: time (they alternate in one
process; the median of the ratios is reported), peak memory, and the largest difference of their
results, relative to the largest magnitude. The first variant is the baseline: ratios are baseline /
variant, so that more than 1 is better than it. On the CPU the memory is what one pass adds to the
peak resident memory of a fresh process, on a GPU what torch allocates. A Markdown table is printed.
`data` measures the training pipeline; `page` writes docs/performance.md from the files of --json.

Example:
    python tools/analysis_tools/benchmark.py model --shape 256 256 --threads 2 --json model.json
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path

import torch
from _ablation_report import environment, machine_name, write
from _benchmark import data, growth, model, op, page, stage1, train
from _benchmark.arguments import ROOT, positive, shapes
from _benchmark.core import Benchmark, measure
from _benchmark.memory import ChildError, peak_bytes

from condseg_mmseg.utils.arguments import refuse_inputs

BENCHMARKS: dict[str, Benchmark] = {
    'op': op.BENCHMARK,
    'model': model.BENCHMARK,
    'train': train.BENCHMARK,
    'stage1': stage1.BENCHMARK,
}
# of the command line, but not of what is measured
_HIDDEN = ('name', 'json', 'peak', 'threads')


class _Formatter(argparse.ArgumentDefaultsHelpFormatter):
    """Tells a default that is a value; of the others the help says what they mean."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        silent = action.default is None or isinstance(action.default, bool)
        if silent or '(default:' in (action.help or ''):
            return action.help
        return super()._get_help_string(action)


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest='name', required=True, metavar='NAME')

    def add(name: str, summary: str) -> argparse.ArgumentParser:
        return commands.add_parser(
            name,
            help=summary,
            description=summary,
            formatter_class=_Formatter,
        )

    for name, bench in BENCHMARKS.items():
        sub = add(name, bench.summary)
        bench.add_arguments(sub)
        sub.add_argument(
            '--only', nargs='+', choices=bench.variants, metavar='VARIANT',
            help=f'run these alone, of {", ".join(bench.variants)}; the first of them is the '
            'baseline',
        )  # fmt: skip
        sub.add_argument('--repeats', type=positive, default=10, help='timed rounds')
        sub.add_argument('--warmup', type=positive, default=2, help='rounds before them')
        sub.add_argument('--device', default='cpu', help='cpu or cuda')
        sub.add_argument(
            '--no-memory', dest='memory', action='store_false', help='leave out the peak memory'
        )
        # one variant of one pass in a process of its own; prints the bytes
        sub.add_argument('--peak', nargs=2, help=argparse.SUPPRESS)
        _add_common(sub)
    sub = add('data', data.SUMMARY)
    data.add_arguments(sub)
    _add_common(sub)
    sub = add('page', 'write docs/performance.md from docs/performance/*.json')
    page.add_arguments(sub)
    return parser


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--threads', type=positive, help="of torch (default: torch's)")
    parser.add_argument('--json', type=Path, metavar='FILE', help='write all figures here too')


def main(argv: list[str] | None = None) -> None:
    """Run the command line."""
    parser = make_parser()
    argv = sys.argv[1:] if argv is None else argv
    args = parser.parse_args(argv)
    if args.name == 'page':
        parser.exit(page.run(args))
    if args.json and not args.json.absolute().parent.is_dir():
        parser.error(f'folder of --json {args.json} does not exist')
    if args.threads:
        torch.set_num_threads(args.threads)
    if 'shape' in args:
        args.shape = shapes(args)
    try:
        inputs = [getattr(args, name, None) for name in ('config', 'checkpoint')]
        refuse_inputs('--json', args.json, inputs)
        found = _measure_data(args) if args.name == 'data' else _measure(parser, args, argv)
    except ValueError as error:
        parser.error(str(error))
    except ChildError as error:
        parser.exit(1, f'{parser.prog}: error: {error}\n')
    if found is None:
        return
    where = environment(torch.get_num_threads(), machine_name())
    # whether the network ran with the aggregation in C
    where['native'] = op.native_state()
    if getattr(args, 'device', 'cpu') != 'cpu':
        where['device'] = torch.cuda.get_device_name(args.device)
    settings = {k: _plain(v) for k, v in vars(args).items() if k not in _HIDDEN and v is not None}
    result = {
        'benchmark': args.name,
        'command': _command(argv),
        'settings': settings,
        'environment': where,
    } | found
    if args.json:
        write(args.json, json.dumps(result, indent=2) + '\n')
    print(', '.join(f'{key} {value}' for key, value in (settings | where).items()))
    print()
    print(page.table(result))


def _measure(
    parser: argparse.ArgumentParser, args: argparse.Namespace, argv: list[str]
) -> dict | None:
    """Measure the variants; None in the process that only tells the memory of one."""
    bench = BENCHMARKS[args.name]
    if args.device != 'cpu' and not (args.device.startswith('cuda') and torch.cuda.is_available()):
        parser.error(f'--device must be cpu, or cuda where torch finds a GPU, got {args.device}')
    if wrong := bench.check(args):
        parser.error(wrong)
    if args.name == 'op' and args.growth:
        bench = growth.BENCHMARK
    if not bench.chosen(args):
        parser.error('--only, --dtype and --compile leave no variant')
    if args.peak:
        print(json.dumps(peak_bytes(bench.make(args, *args.peak), args.device)))
        return None
    return measure(bench, args, [sys.executable, str(Path(__file__).resolve()), *argv])


def _measure_data(args: argparse.Namespace) -> dict:
    return {'data': data.run(args)}


def _plain(value: object) -> object:
    """A setting as JSON; a file of the repository relative to it."""
    if isinstance(value, Path):
        path = value.absolute()
        return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else str(value)
    return value


def _command(argv: list[str]) -> str:
    """The command line as it works in the repository's root."""
    words = [word.removeprefix(f'{ROOT}/') for word in argv]
    return shlex.join(['python', 'tools/analysis_tools/benchmark.py', *words])


if __name__ == '__main__':
    main()
