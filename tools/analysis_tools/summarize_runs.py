"""Summarise finished training runs as one JSON file and a Markdown table.

    python tools/analysis_tools/summarize_runs.py OUT.json LABEL=WORK_DIR [LABEL=WORK_DIR ...]

Reads what mmengine wrote into each working directory (``*/vis_data/scalars.json``, the config),
over all its runs where it was resumed. Scores are those of the validation list: of the best epoch
by ``image/mIoU``, and of the last one. ``--markdown FILE`` replaces what stands between the lines
``<!-- results -->`` and ``<!-- /results -->`` of FILE by the table.
"""

import argparse
import json
import platform
from pathlib import Path

from condseg_mmseg.utils.arguments import refuse_inputs

START, END = '<!-- results -->', '<!-- /results -->'
SCORES = ('image/mDice', 'image/mIoU', 'image/mRecall', 'image/mPrecision')


def read_rows(work_dir: Path) -> list[dict]:
    """All scalars of a working directory, a resumed run's in place of those it repeats.

    Args:
        work_dir: Working directory of mmengine.

    Returns:
        Rows in the order of training.

    Raises:
        ValueError: It holds no scalars.
    """
    steps: dict[tuple[bool, int], dict] = {}
    for path in sorted(work_dir.glob('*/vis_data/scalars.json')):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        if not any('loss' in row for row in rows):
            continue  # a test run
        first = min(row['step'] for row in rows if 'loss' in row)
        epoch = min((row['epoch'] for row in rows if 'loss' in row), default=0)
        steps = {
            key: row
            for key, row in steps.items()
            if (row['step'] < first if key[0] else row['step'] < epoch)
        }
        steps |= {('loss' in row, row['step']): row for row in rows}
    if not steps:
        raise ValueError(f'{work_dir} holds no */vis_data/scalars.json with a loss')
    return list(steps.values())


def summarize(work_dir: Path) -> dict:
    """Summarise one run.

    Args:
        work_dir: Working directory of mmengine.

    Returns:
        Iterations, epochs, seconds an iteration, minutes of training, scores of the best and of the
        last epoch in percent.
    """
    rows = read_rows(work_dir)
    train = [row for row in rows if 'loss' in row]
    val = [row for row in rows if SCORES[0] in row]
    if not val:
        raise ValueError(f'{work_dir} holds no validation scores ({SCORES[0]})')
    steps = [0, *(row['step'] for row in train)]
    seconds = sum(
        row['time'] * (now - before)
        for row, before, now in zip(train, steps[:-1], steps[1:], strict=True)
    )
    best = max(val, key=lambda row: row['image/mIoU'])
    return {
        'iterations': steps[-1],
        'epochs': train[-1]['epoch'],
        'seconds_per_iteration': round(seconds / steps[-1], 3),
        'training_minutes': round(seconds / 60, 1),
        'best': {'epoch': best['step'], **{key: round(best[key], 2) for key in SCORES}},
        'last': {'epoch': val[-1]['step'], **{key: round(val[-1][key], 2) for key in SCORES}},
    }


def find_config(work_dir: Path) -> Path:
    """The config that mmengine left in a working directory.

    Raises:
        ValueError: There is none, or several, as after runs of different configs.
    """
    found = sorted(work_dir.glob('*.py'))
    if len(found) != 1:
        names = ', '.join(path.name for path in found) or 'none'
        raise ValueError(f'{work_dir} must hold one config (*.py), found {names}')
    return found[0]


def build_model(config):
    """Build the segmentor of a config, without loading any weights.

    Args:
        config: mmengine's ``Config``, or the path of one.
    """
    from mmengine.config import Config
    from mmengine.registry import init_default_scope
    from mmseg.registry import MODELS

    import condseg_mmseg  # noqa: F401

    init_default_scope('mmseg')
    if not isinstance(config, Config):
        config = Config.fromfile(config)
    return MODELS.build(config.model)


def count_parameters(config) -> float:
    """Millions of parameters of the model of a config, those of training-only parts included.

    Args:
        config: mmengine's ``Config``, or the path of one.
    """
    model = build_model(config)
    return round(sum(p.numel() for p in model.parameters()) / 1e6, 2)


def table(summary: dict) -> str:
    """Markdown table of a summary."""
    lines = [
        '| model | parameters (M) | iterations | best: mDice / mIoU | epoch | last: mDice / mIoU |',
        '|---|---|---|---|---|---|',
    ]
    for label, run in summary['runs'].items():
        best, last = (
            f'{run[key]["image/mDice"]:.1f} / {run[key]["image/mIoU"]:.1f}'
            for key in ('best', 'last')
        )
        lines.append(
            f'| {label} | {run["parameters_m"]} | {run["iterations"]} '
            f'| {best} | {run["best"]["epoch"]} | {last} |'
        )
    return '\n'.join(lines)


def replace_table(text: str, new: str, start: str = START, end: str = END) -> str:
    """Replace what stands between the two markers.

    Raises:
        ValueError: A marker is missing.
    """
    head, found, rest = text.partition(start)
    if not found or end not in rest:
        raise ValueError(f'the lines {start} and {end} are missing')
    return f'{head}{start}\n{new}\n{end}{rest.partition(end)[2]}'


def main(argv: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('out', type=Path, help='JSON file to write')
    parser.add_argument('runs', nargs='+', metavar='LABEL=WORK_DIR')
    parser.add_argument('--machine', default=platform.processor() or platform.machine())
    parser.add_argument('--markdown', type=Path, help='file whose table to replace')
    args = parser.parse_args(argv)
    summary: dict = {'machine': args.machine, 'runs': {}}
    for item in args.runs:
        label, separator, folder = item.partition('=')
        work_dir = Path(folder)
        if not separator or not work_dir.is_dir():
            parser.error(f'{item}: expected LABEL=WORK_DIR with an existing folder')
        try:
            run, config = summarize(work_dir), find_config(work_dir)
            inputs = [config, args.markdown, *work_dir.glob('*/vis_data/scalars.json')]
            refuse_inputs('OUT', args.out, inputs)
        except ValueError as error:
            parser.error(str(error))
        summary['runs'][label] = {'parameters_m': count_parameters(config), **run}
    args.out.write_text(json.dumps(summary, indent=2) + '\n')
    if args.markdown:
        text = args.markdown.read_text()
        args.markdown.write_text(replace_table(text, table(summary)))
    print(table(summary))


if __name__ == '__main__':
    main()
