"""docs/performance.md, written from the files in docs/performance."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import data, growth, op, tables
from .arguments import ROOT

FOLDER = ROOT / 'docs' / 'performance'
PAGE = ROOT / 'docs' / 'performance.md'
AGAIN = 'python tools/analysis_tools/benchmark.py page'


def table(record: dict) -> str:
    """Markdown of a record, whichever sub-command wrote it."""
    if record['benchmark'] == 'data':
        return data.table(record['data'])
    if record['benchmark'] == 'op':
        return growth.table(record) if record['settings']['growth'] else op.table(record)
    return tables.table(record)


def _row(record: dict, shape: str = '') -> dict:
    """The pass of a size, or the first."""
    return record['passes'][shape or next(iter(record['passes']))]


def _op_limits(record: dict) -> str:
    last = record['variants'][-1]
    large = [
        row for row in record['passes'].values()
        if last in row.get('seconds', {}) and row['bytes'] > 2**24  # more than the caches hold
    ]  # fmt: skip
    factors = {
        direction: [row['times_bound'][last] for row in large if row['direction'] == direction]
        for direction in ('forward', 'both')
    }
    if not all(factors.values()):
        return ''
    return (
        f'Where the tensors are larger than 16 MiB, `{last}` takes '
        f'{_range(factors["forward"])} times the bound forward and {_range(factors["both"])} times '
        'with the backward pass, which must also read values and logits a second time.'
    )


def _range(values: list[float]) -> str:
    low, high = f'{min(values):.1f}', f'{max(values):.1f}'
    return low if low == high else f'{low} to {high}'


def _growth_limits(record: dict) -> str:
    texts = [
        f'{max(row["per_pixel"][case.name] for case in growth.GROUPS["window"]):.0f} '
        f'({row["text"]})'
        for row in record['passes'].values()
    ]
    return (
        'A wider window costs more than its area: every pixel has k^4 logits a head and '
        '(2k - 1)^2 multiply-adds a value. The dearest window takes '
        f'{" and ".join(texts)} times the time of k = 3.'
    )


def _model_limits(record: dict) -> str:
    row, lines = _row(record), []
    seconds = {name: times['median'] for name, times in row['seconds'].items()}
    if {'ours', 'ours-products'} <= seconds.keys():
        lines.append(
            'The limit: `ours-products` runs only the convolutions and matrix products that `ours` '
            f'runs. They are {seconds["ours-products"] / seconds["ours"]:.0%} of its time; all '
            f'else costs a factor {seconds["ours"] / seconds["ours-products"]:.2f}.'
        )
    if len(record['passes']) > 1:
        lines.append(_per_pixel(record))
    if row.get('resident_mib'):
        lines.append(_resident(record))
    return ' '.join(lines)


def _per_pixel(record: dict) -> str:
    """How the time a pixel changes from the first size to the others, by variant."""
    first = next(iter(record['passes']))
    texts = []
    for name in record['variants']:
        if name not in record['passes'][first]['seconds']:
            continue
        cost = {
            shape: row['seconds'][name]['median'] / _pixels(shape)
            for shape, row in record['passes'].items()
            if name in row['seconds']
        }
        parts = [f'{cost[s] / cost[first]:.2f} at {s}' for s in cost if s != first]
        texts.append(f'{name} {", ".join(parts)}')
    return f'Time a pixel, relative to {first}: {"; ".join(texts)}.'


def _pixels(shape: str) -> int:
    height, width = map(int, shape.split('x'))
    return height * width


def _resident(record: dict) -> str:
    shape = max(record['passes'], key=_pixels)
    found = record['passes'][shape]['resident_mib']
    texts = (f'{name} {mib:.0f} MiB' for name, mib in found.items())
    return f'Peak of the whole process at {shape}, libraries and weights included: ' + (
        f'{", ".join(texts)}.'
    )


def _train_limits(record: dict) -> str:
    row = _row(record)
    if not {'ours', 'ours-cp'} <= row['seconds'].keys() or 'ours-cp' not in row['peak_mib']:
        return ''
    slower = row['speed_up']['ours'] / row['speed_up']['ours-cp'] if row['speed_up'] else 1
    less = row['peak_mib']['ours'] / row['peak_mib']['ours-cp']
    return (
        f'`with_cp=True` in neck and heads takes {slower:.2f} times the time of `ours` and '
        f'{1 / less:.2f} times its memory.'
    )


def _nothing(record: dict) -> str:
    return ''


@dataclass(frozen=True)
class Section:
    """What the page says about one file.

    Args:
        file: In docs/performance.
        title: Of the section; empty for a table that belongs to the section before.
        text: Before the table.
        limits: Record -> sentences behind the table.
    """

    file: str
    title: str
    text: str
    limits: Callable[[dict], str] = _nothing


INTRO = f"""\
# Performance

Written by `{AGAIN}` from the files in [performance](performance), which
`tools/analysis_tools/benchmark.py` wrote; every number below is from them.

Variants alternate in one process. The first one is the baseline, and a ratio is baseline / variant:
more than 1 is better. Times are medians of the rounds, speed-ups medians of the ratios within a
round, so that they need not be quotients of the times. Memory is what one pass adds to the peak
resident memory of a fresh process, weights and Adam's state not counted; least and largest time are
in the files too. "difference" is the largest of the results, relative to their largest magnitude.
"""

SECTIONS = (
    Section(
        'op.json',
        "CDFA's aggregation",
        'The operation of CDFA for values of {channels} channels, {num_heads} heads, {dtype}. '
        '`reference` is the literal form (unfold, matrix product, fold), which copies every value '
        'k^2 times; `fast` is regrouped in PyTorch; `native` is the same in C; `auto`, the '
        'default, takes one of them. In brackets: how many times faster than the literal form.',
        _op_limits,
    ),
    Section(
        'op_growth.json',
        'How its cost grows',
        '`auto`, with the size of the map, the batch and the window. "relative" is the time a '
        'pixel over that of the first row.',
        _growth_limits,
    ),
    Section(
        'model_256.json',
        'Inference',
        'The whole network of `{config}` with random weights. `literal` is the published order of '
        'all steps ([condseg_in_one_file.py](condseg_in_one_file.py)): the literal aggregation, '
        'concatenation before the 1x1 convolutions, the auxiliary head and the uncertainty branch '
        'computed too, contiguous maps, BatchNorm by itself. `ours` is what the config builds, '
        'with BatchNorm folded into the convolutions (`tools/test.py --fuse-conv-bn`); `bf16` is '
        'under autocast. The columns "channels-last" are with `ChannelsLastHook`, which the CPU '
        'configs switch on. "mask IoU" is that of the '
        "masks cut at the median of the literal network's logits, near which many pixels lie. "
        'Random BatchNorm biases lie near 1: with biases near 0 a random network of this depth '
        'enlarges rounding a thousandfold, as no trained one does.',
        _model_limits,
    ),
    Section(
        'model_trained.json',
        '',
        'Trained weights (those of `make demo`: `{config}`) on images of the demo, masks cut at '
        'probability 0.5; `ours` on channels-last maps:',
    ),
    Section(
        'model_1024.json',
        '',
        'Large images; the literal network is left out, ratios are to `ours`, and all maps are '
        'channels-last:',
        _model_limits,
    ),
    Section(
        'train.json',
        'Training',
        'Forward, losses, backward and Adam. `cp` has `with_cp=True` in neck and heads: what is '
        'inside them is computed again in the backward pass; otherwise nothing is. The columns '
        '"channels-last" are with `ChannelsLastHook`. Differences are of the loss, and of the '
        'gradient of all parameters, in norm; the weights are random. glibc '
        'gives large maps back to the system and fetches them anew in every step: '
        '`MALLOC_MMAP_THRESHOLD_=4000000000 MALLOC_TRIM_THRESHOLD_=4000000000` in the environment '
        'spares that, for all variants alike.',
        _train_limits,
    ),
    Section(
        'compile.json',
        'torch.compile',
        'An option (`--cfg-options default_hooks.compile.type=CompileHook`), off by default. The '
        'time to compile, minutes once a process, is not in the table. Here the whole forward pass '
        'is one graph; the hook compiles its parts, features and heads. Measured on channels-last '
        'maps, when some of them were also made again in the backward pass:',
    ),
    Section('compile_train.json', '', 'Training:'),
    Section(
        'data.json',
        'Data loading',
        'The training pipeline of `{config}`, and a training that waits for it.',
    ),
    Section(
        'stage1.json',
        'The head of stage 1',
        '`EncoderFusionHead` runs its 1x1 convolutions before the up-sampling. They have no bias '
        'and commute with bilinear interpolation, so that this is the same function as the '
        'published order (`literal`), which up-samples 64 + 256 + 512 + 1024 channels to full '
        'resolution first. Whole stage-1 network, ResNet-{depth}.',
    ),
)


def section(what: Section, record: dict) -> str:
    """Markdown of one file."""
    settings = record['settings']
    if 'config' in settings:
        settings = settings | {'config': Path(settings['config']).name}
    parts = [_wrap(what.text.format_map(settings)), table(record)]
    if said := what.limits(record):
        parts.append(_wrap(said))
    parts += [f'    {record["command"]}', _wrap(_where(record['environment']))]
    if what.title:
        parts.insert(0, f'## {what.title}')
    return '\n\n'.join(parts) + '\n'


def _wrap(text: str) -> str:
    return textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False)


def _where(env: dict) -> str:
    threads = f'{env["threads"]} thread' + ('s' if env['threads'] != 1 else '')
    commit = env['commit'] or 'unknown'
    if commit.endswith('-dirty'):
        commit = commit.removesuffix('-dirty') + ' with uncommitted changes'
    machine = f'{env["device"]}, {env["machine"]}' if 'device' in env else env['machine']
    # of what was measured before the library was asked for, nothing is known
    native = env.get('native', 'yes')
    native = '' if native == 'yes' else f' Without the aggregation in C: {native[4:]}.'
    return (
        f'{machine}, {threads}, {env["date"][:10]}, Python {env["python"]}, torch {env["torch"]}, '
        f'mmengine {env["mmengine"]}, mmcv {env["mmcv"]}, mmseg {env["mmseg"]}, '
        f'commit {commit}.{native}'
    )


def render(folder: Path = FOLDER) -> str:
    """Write the page from the files that exist.

    Args:
        folder: With the JSON files.

    Raises:
        ValueError: The folder has none of them, or one that no section is about.
    """
    found = {path.name for path in folder.glob('*.json')}
    files = [what.file for what in SECTIONS]
    if not found.intersection(files):
        raise ValueError(f'{folder} holds none of {", ".join(files)}')
    if unknown := sorted(found.difference(files)):
        raise ValueError(f'{folder} holds {", ".join(unknown)}: no section is about it')
    parts = [
        section(what, json.loads((folder / what.file).read_text(encoding='utf-8')))
        for what in SECTIONS
        if what.file in found
    ]
    return '\n'.join([INTRO, *parts])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the sub-command ``page``."""
    parser.add_argument(
        '--check', action='store_true', help='write nothing; exit with 1 if the page is not current'
    )


def run(args: argparse.Namespace) -> int:
    """Write the page, or say whether it is current; returns the exit status."""
    text = render()
    if not args.check:
        PAGE.write_text(text, encoding='utf-8')
        return 0
    if PAGE.is_file() and PAGE.read_text(encoding='utf-8') == text:
        return 0
    print(f'{PAGE.relative_to(ROOT)} is not what {AGAIN} writes: run it', file=sys.stderr)
    return 1
