"""CDFA's aggregation by each of its backends, and the distance to the memory bandwidth."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.benchmark import Timer

from condseg_mmseg.ops import can_run, outlook_aggregate
from condseg_mmseg.utils.tables import table

from .core import DTYPES, Benchmark, Call, positive
from .tables import milliseconds, reasons

DIRECTIONS = {'forward': 'forward', 'both': 'forward + backward'}
# what a call needs for fewer values (C of them a pixel) is lost in the memory of the process
_VALUES_WITH_MEMORY = 1 << 19


class Case(NamedTuple):
    """A size of the aggregation: images, height and width in pixels, odd window."""

    batch: int
    height: int
    width: int
    kernel_size: int

    def __str__(self) -> str:
        return f'{self.batch} x {self.height} x {self.width}, k = {self.kernel_size}'

    @property
    def name(self) -> str:
        """Without spaces."""
        return f'{self.batch}x{self.height}x{self.width}-k{self.kernel_size}'

    @property
    def pixels(self) -> int:
        """Of all images."""
        return self.batch * self.height * self.width

    def tensors(self, args: argparse.Namespace) -> tuple[Tensor, Tensor, Tensor]:
        """Random values (N, C, H, W), logits (N, heads * k^4, H, W), gradient like values."""
        widths = args.channels, args.num_heads * self.kernel_size**4, args.channels
        shapes = ((self.batch, width, self.height, self.width) for width in widths)
        where = dict(device=args.device, dtype=getattr(torch, args.dtype))
        values, logits, grad = (torch.randn(shape).to(**where) for shape in shapes)
        return values, logits, grad

    def bytes_to_move(self, args: argparse.Namespace, direction: str) -> int:
        """Bytes that any implementation reads or writes at least once.

        Forward: values, logits and result. With the backward pass also the gradient of the result,
        and those of values and logits. That the backward pass must read values and logits a second
        time where they do not stay in a cache is not counted.
        """
        rows = 2 * args.channels + args.num_heads * self.kernel_size**4
        forward = self.pixels * rows * getattr(torch, args.dtype).itemsize
        return forward if direction == 'forward' else 2 * forward

    def call(self, args: argparse.Namespace, backend: str, direction: str) -> Callable[[], dict]:
        """Make a call of the op, which returns the result, of 'both' also the two gradients."""
        values, logits, grad = self.tensors(args)
        rest = (args.num_heads, self.kernel_size)

        @torch.no_grad()
        def forward() -> dict[str, Tensor]:
            return {'result': outlook_aggregate(values, logits, *rest, backend=backend)}

        if direction == 'forward':
            return forward
        leaves = values.requires_grad_(), logits.requires_grad_()

        def both() -> dict[str, Tensor]:
            result = outlook_aggregate(*leaves, *rest, backend=backend)
            grad_values, grad_logits = torch.autograd.grad(result, leaves, grad)
            return {'result': result.detach(), 'values': grad_values, 'logits': grad_logits}

        return both


_SIZES = (2, 128, 128, 3), (1, 256, 256, 3), (2, 64, 64, 3), (2, 32, 32, 3), (2, 16, 16, 3)
CASES = tuple(Case(*size) for size in (*_SIZES, (2, 7, 7, 3), (1, 64, 64, 5)))


class Op(Benchmark):
    """The backends on tensors of several sizes."""

    summary = "CDFA's aggregation: reference (literal), fast (regrouped, PyTorch), native (C), auto"
    variants = ('reference', 'fast', 'native', 'auto')

    def __init__(self, args: argparse.Namespace) -> None:
        super().__init__(args)
        cases = [Case(*numbers) for numbers in args.case] if args.case else CASES
        self.found = {f'{case.name}-{way}': (case, way) for case in cases for way in DIRECTIONS}

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add('--case', type=positive, nargs=4, action='append', metavar=('N', 'H', 'W', 'K'),
            help='images, height and width in pixels, odd window; may be given several times '
            f'(without it: {"; ".join(map(str, CASES))})')  # fmt: skip
        add('--channels', type=positive, default=128, help='of the values')
        add('--num-heads', type=positive, default=4, help='divides --channels')
        add('--dtype', choices=DTYPES, default='float32', help='of all tensors')
        add('--growth', action='store_true', help='instead of the backends: how the time of auto '
            'grows with size, batch and window')  # fmt: skip

    def passes(self) -> dict[str, str]:
        return {name: f'{case}, {DIRECTIONS[way]}' for name, (case, way) in self.found.items()}

    def build(self, name: str, variant: str) -> Call:
        case, direction = self.found[name]
        return case.call(self.args, variant, direction)

    def why_not(self, variant: str) -> str | None:
        return _without_home(can_run(variant, *Case(1, 1, 1, 1).tensors(self.args)[:2]))

    def with_memory(self, name: str, variant: str) -> bool:
        return self.found[name][0].pixels * self.args.channels >= _VALUES_WITH_MEMORY

    def finish(self, record: dict[str, Any]) -> None:
        """Add ``bandwidth`` (bytes/s) and to each pass ``case``, ``bytes`` and ``times_bound``.

        ``times_bound`` is, by variant, its time over that of moving the bytes.
        """
        record['bandwidth'] = copy_bandwidth(self.args.device)
        for name, row in record['passes'].items():
            case, direction = self.found[name]
            size = case.bytes_to_move(self.args, direction)
            row |= {'case': str(case), 'direction': direction, 'bytes': size}
            row['times_bound'] = {
                variant: times['median'] * record['bandwidth'] / size
                for variant, times in row.get('seconds', {}).items()
            }


def native_state() -> str:
    """Whether the C library is there, as 'yes' or 'no: ' and the reason."""
    tensor = torch.empty(1, 1, 1, 1)
    reason = _without_home(can_run('native', tensor, tensor))
    return f'no: {reason}' if reason else 'yes'


def _without_home(reason: str | None) -> str | None:
    """What is published names no folder of a user."""
    return reason.replace(str(Path.home()), '~') if reason else None


def copy_bandwidth(device: str, megabytes: int = 256) -> float:
    """Bytes a second that ``copy_`` of a tensor reads and writes, the best of several.

    The tensor must be far larger than the caches.
    """
    source = torch.ones(megabytes * 10**6 // 4, device=device)
    tensors = {'source': source, 'target': torch.zeros_like(source)}
    timer = Timer('target.copy_(source)', globals=tensors, num_threads=torch.get_num_threads())
    return 2 * source.nbytes / min(timer.blocked_autorange(min_run_time=0.5).times)


def op_table(record: dict[str, Any]) -> str:
    """Table of one row a pass; the record is that of :class:`Op`."""
    names = record['variants']
    head = ['N x H x W', 'pass', *(f'{name}, ms' for name in names)]
    head += ['memory of the last', 'difference', 'bound, ms', 'times bound']
    rows = [_row(row, names, record['bandwidth']) for row in record['passes'].values()]
    said = (
        f'Bound: bytes that must move, at {record["bandwidth"] / 1e9:.1f} GB/s, the best of '
        'several large copies (bytes read and written).'
    )
    return '\n'.join([table(head, rows, aligned=False), '', said, *reasons(record)])


def _row(row: dict[str, Any], names: list[str], bandwidth: float) -> list[str]:
    seconds = row.get('seconds', {})
    last = next((name for name in reversed(names) if name in seconds), None)
    differences = [x['difference'] for x in row.get('difference', {}).values()]
    memory = '-'
    if last in row.get('peak_mib', {}):
        memory = f'{row["peak_mib"][last]:.0f} MiB'
        if last in row['memory_saving']:
            memory += f' ({row["memory_saving"][last]:.1f}x less)'
    return [
        row['case'],
        DIRECTIONS[row['direction']],
        *(_time_cell(row, name) for name in names),
        memory,
        f'{max(differences):.0e}' if differences else '-',
        milliseconds(row['bytes'] / bandwidth),
        f'{row["times_bound"][last]:.1f}' if last else '-',
    ]


def _time_cell(row: dict[str, Any], name: str) -> str:
    if name not in row.get('seconds', {}):
        return '-'
    text = milliseconds(row['seconds'][name]['median'])
    return f'{text} ({row["speed_up"][name]:.1f}x)' if name in row['speed_up'] else text
