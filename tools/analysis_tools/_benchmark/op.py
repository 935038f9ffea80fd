"""CDFA's aggregation by each of its backends, and the distance to the memory bandwidth."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from condseg_mmseg.ops import can_run

from .aggregation import DIRECTIONS, Case, copy_bandwidth, make_call
from .arguments import DTYPES, positive
from .core import Benchmark, Call
from .tables import markdown, milliseconds, reasons

CASES = (
    Case(2, 128, 128, 3),
    Case(1, 256, 256, 3),
    Case(2, 64, 64, 3),
    Case(2, 32, 32, 3),
    Case(2, 16, 16, 3),
    Case(2, 7, 7, 3),
    Case(1, 64, 64, 5),
)
# what a call needs for fewer values (C of them a pixel) is lost in the memory of the process
_VALUES_WITH_MEMORY = 1 << 19


class _CaseAction(argparse.Action):
    """Collects the cases; the last number is an odd window."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: list[int],
        option: str | None = None,
    ) -> None:
        if values[-1] % 2 == 0:
            raise argparse.ArgumentError(self, f'K must be odd, got {values[-1]}')
        setattr(namespace, self.dest, [*(getattr(namespace, self.dest) or []), values])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what is special to this benchmark."""
    parser.add_argument(
        '--case', type=positive, nargs=4, action=_CaseAction, metavar=('N', 'H', 'W', 'K'),
        help='images, height and width in pixels, odd window; may be given several times '
        f'(default: {"; ".join(str(case) for case in CASES)})',
    )  # fmt: skip
    parser.add_argument('--channels', type=positive, default=128, help='of the values')
    parser.add_argument('--num-heads', type=positive, default=4, help='heads; divides --channels')
    parser.add_argument('--dtype', choices=DTYPES, default='float32', help='of all tensors')
    parser.add_argument(
        '--growth', action='store_true',
        help='in place of the backends: how the time of auto grows with size, batch and window',
    )  # fmt: skip


def check(args: argparse.Namespace) -> str | None:
    """Say what is wrong with the arguments, or None."""
    if args.channels % args.num_heads:
        return f'--num-heads must divide the {args.channels} --channels, got {args.num_heads}'
    if args.growth and args.case:
        return '--growth has its own cases: leave --case out'
    if args.growth and args.only:
        return '--growth has no variants: leave --only out'
    return None


def passes(args: argparse.Namespace) -> dict[str, str]:
    """Forward, and forward + backward, of each case."""
    return {
        f'{case.name}-{direction}': f'{case}, {text}'
        for case in _cases(args)
        for direction, text in DIRECTIONS.items()
    }


def build(args: argparse.Namespace, name: str, variant: str) -> Call:
    """Build the call of a backend; the same tensors for all."""
    case, direction = _find(args, name)
    tensors = case.tensors(args.channels, args.num_heads, args.dtype, args.device)
    return make_call(tensors, args.num_heads, case.kernel_size, variant, direction)


def why_not(args: argparse.Namespace, name: str, variant: str) -> str | None:
    """Say why a backend cannot run here, or None."""
    tensors = Case(1, 1, 1, 1).tensors(args.channels, args.num_heads, args.dtype, args.device)
    return _without_home(can_run(variant, *tensors[:2]))


def native_state() -> str:
    """Whether the C library is there, as 'yes' or 'no: ' and the reason."""
    tensor = torch.empty(1, 1, 1, 1)
    reason = _without_home(can_run('native', tensor, tensor))
    return f'no: {reason}' if reason else 'yes'


def _without_home(reason: str | None) -> str | None:
    """What is published names no folder of a user."""
    return reason.replace(str(Path.home()), '~') if reason else None


def with_memory(args: argparse.Namespace, name: str, variant: str) -> bool:
    """Whether a pass needs enough memory to be seen."""
    return _find(args, name)[0].pixels * args.channels >= _VALUES_WITH_MEMORY


def finish(args: argparse.Namespace, record: dict) -> None:
    """Add ``bandwidth`` (bytes/s) and to each pass ``case``, ``bytes`` and ``times_bound``.

    ``times_bound`` is, by variant, its time over that of moving the bytes.
    """
    record['bandwidth'] = copy_bandwidth(args.device)
    for name, row in record['passes'].items():
        case, direction = _find(args, name)
        size = case.bytes_to_move(args.channels, args.num_heads, args.dtype, direction)
        row |= {'case': str(case), 'direction': direction, 'bytes': size}
        row['times_bound'] = {
            variant: times['median'] * record['bandwidth'] / size
            for variant, times in row.get('seconds', {}).items()
        }


def table(record: dict) -> str:
    """Table of one row a pass; the record is that of :data:`BENCHMARK`."""
    names = record['variants']
    head = ['N x H x W', 'pass', *(f'{name}, ms' for name in names)]
    head += ['memory of the last', 'difference', 'bound, ms', 'times bound']
    rows = []
    for row in record['passes'].values():
        seconds = row.get('seconds', {})
        last = next((name for name in reversed(names) if name in seconds), None)
        differences = [x['difference'] for x in row.get('difference', {}).values()]
        memory = '-'
        if last in row.get('peak_mib', {}):
            memory = f'{row["peak_mib"][last]:.0f} MiB'
            if last in row['memory_saving']:
                memory += f' ({row["memory_saving"][last]:.1f}x less)'
        rows.append(
            [
                row['case'],
                DIRECTIONS[row['direction']],
                *(_time_cell(row, name) for name in names),
                memory,
                f'{max(differences):.0e}' if differences else '-',
                milliseconds(row['bytes'] / record['bandwidth']),
                f'{row["times_bound"][last]:.1f}' if last else '-',
            ]
        )
    return '\n'.join(
        [
            markdown(head, rows),
            '',
            f'Bound: bytes that must move, at {record["bandwidth"] / 1e9:.1f} GB/s, the best of '
            'several large copies (bytes read and written).',
            *reasons(record),
        ]
    )


def _time_cell(row: dict, name: str) -> str:
    if name not in row.get('seconds', {}):
        return '-'
    text = milliseconds(row['seconds'][name]['median'])
    return f'{text} ({row["speed_up"][name]:.1f}x)' if name in row['speed_up'] else text


def _cases(args: argparse.Namespace) -> list[Case]:
    return [Case(*numbers) for numbers in args.case] if args.case else list(CASES)


def _find(args: argparse.Namespace, name: str) -> tuple[Case, str]:
    cases = {case.name: case for case in _cases(args)}
    case, _, direction = name.rpartition('-')
    return cases[case], direction


BENCHMARK = Benchmark(
    summary="CDFA's aggregation: reference (literal), fast (regrouped, PyTorch), native (C), auto",
    passes=passes,
    variants=('reference', 'fast', 'native', 'auto'),
    build=build,
    add_arguments=add_arguments,
    check=check,
    why_not=why_not,
    with_memory=with_memory,
    finish=finish,
)
