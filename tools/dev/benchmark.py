"""Measure variants of one computation against each other on this machine.

python tools/dev/benchmark.py NAME [options]
python tools/dev/benchmark.py model --shape 256 256 --threads 2 --json model.json

Measured are time (the variants alternate in one process; the median of the ratios is reported),
peak memory, and the largest difference of their results, relative to the largest magnitude. The
first variant is the baseline: ratios are baseline / variant, so that more than 1 is better than it.
On the CPU the memory is what one pass adds to the peak resident memory of a fresh process, on a GPU
what torch allocates. A Markdown table is printed. `data` measures the training pipeline; `page`
writes docs/performance.md from the files of --json.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import Any

import torch
from _benchmark import data, page
from _benchmark.core import Benchmark, ChildError, measure, peak_bytes, positive
from _benchmark.growth import Growth
from _benchmark.model import Inference, Stage1
from _benchmark.op import Op, native_state
from _benchmark.train import TrainingStep
from dev_common import ROOT, made_with

from condseg_mmseg.utils.arguments import check_device, check_output
from condseg_mmseg.utils.errors import UserError
from condseg_mmseg.utils.files import write_json

BENCHMARKS: dict[str, type[Benchmark]] = {
    'op': Op,
    'model': Inference,
    'train': TrainingStep,
    'stage1': Stage1,
}
# of the command line, but not of what is measured
_HIDDEN = ('name', 'json', 'peak', 'threads')


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest='name', required=True, metavar='NAME')
    for name, kind in BENCHMARKS.items():
        sub = commands.add_parser(
            name, help=kind.summary, description=kind.summary,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )  # fmt: skip
        kind.add_arguments(sub)
        add = sub.add_argument
        add('--only', nargs='+', choices=kind.variants, metavar='VARIANT', help='run these alone, '
            f'of {", ".join(kind.variants)}; the first of them is the baseline')  # fmt: skip
        add('--repeats', type=positive, default=10, help='timed rounds')
        add('--warmup', type=positive, default=2, help='rounds before them')
        add('--device', default='cpu', help='cpu or cuda')
        add('--no-memory', dest='memory', action='store_false', help='leave out the peak memory')
        # one variant of one pass in a process of its own; prints the bytes
        add('--peak', nargs=2, help=argparse.SUPPRESS)
    data.add_arguments(commands.add_parser('data', help=data.SUMMARY, description=data.SUMMARY))
    for sub in commands.choices.values():
        sub.add_argument('--threads', type=positive, help='of torch; its own number if not given')
        sub.add_argument('--json', type=Path, metavar='FILE', help='write all figures here too')
    sub = commands.add_parser('page', help='write docs/performance.md from docs/performance')
    sub.add_argument(
        '--check', action='store_true', help='write nothing; exit with 1 if not current'
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    args = make_parser().parse_args(argv)
    try:
        if args.name != 'page':
            return _run(args, argv)
        problem = page.write(args.check)
    except UserError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    except ChildError as error:
        problem = f'error: {error}'
    if problem:
        print(problem, file=sys.stderr)
    return int(bool(problem))


def _run(args: argparse.Namespace, argv: list[str]) -> int:
    inputs = [getattr(args, name, None) for name in ('config', 'checkpoint')]
    check_output('--json', args.json, inputs, force=True)
    if args.threads:
        torch.set_num_threads(args.threads)
    if args.name == 'data':
        found = {'data': data.run(args)}
    else:
        if 'shape' in args:
            args.shape = args.shape or [[256, 256]]
        check_device(args.device)
        bench = (Growth if getattr(args, 'growth', False) else BENCHMARKS[args.name])(args)
        if args.peak:
            print(json.dumps(peak_bytes(bench.make(*args.peak), args.device)))
            return 0
        if not bench.chosen():
            raise UserError('--only, --dtype and --compile leave no variant')
        found = measure(bench, [sys.executable, str(Path(__file__).resolve()), *argv])
    where = made_with(torch.get_num_threads()) | {'native': native_state()}
    if getattr(args, 'device', 'cpu') != 'cpu':
        where['device'] = torch.cuda.get_device_name(args.device)
    settings = {k: _plain(v) for k, v in vars(args).items() if k not in _HIDDEN and v is not None}
    # as it works in the repository's root
    words = [word.removeprefix(f'{ROOT}/') for word in argv]
    command = shlex.join(['python', 'tools/dev/benchmark.py', *words])
    head = {'benchmark': args.name, 'command': command, 'settings': settings}
    result = head | {'environment': where} | found
    if args.json:
        write_json(args.json, result)
    print(json.dumps(settings | where), page.table(result), sep='\n\n')
    return 0


def _plain(value: Any) -> Any:
    """A setting as JSON; a file of the repository relative to it."""
    if isinstance(value, Path):
        path = value.absolute()
        return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else str(value)
    return value


if __name__ == '__main__':
    sys.exit(main())
