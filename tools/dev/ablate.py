"""Train several configs with several seeds; write mean and standard deviation of their scores.

python tools/dev/ablate.py OUT_DIR LABEL=CONFIG [LABEL=CONFIG ...] --seeds 0 1 2
python tools/dev/ablate.py OUT_DIR [--markdown FILE]        (only the table of what is there)

Every label is trained with every seed, in OUT_DIR/LABEL/seed0 and so on (see run_queue.py); all
labels with the first seed before the second one begins, so that an ablation that is cut short still
compares like with like. --stage1 LABEL=CONFIG names the first stage of a label, whose best encoder
starts it. All configs, networks and data sets are built before the first run starts.

After every run OUT_DIR/ablation.json (all scores) and OUT_DIR/ablation.md (the table) are written
anew. Scores are those of the validation list: of the best epoch by image/mIoU, and of the last one.
At the end --markdown FILE replaces what is between the lines <!-- ablation --> and
<!-- /ablation --> of FILE, or by the table without notes what is between <!-- results --> and
<!-- /results -->.

The same command again repeats no finished run; with --resume it goes on with those that were
interrupted or failed. A run made with another config is refused, and what differs is named.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from dev_common import build_model, count, exit_on_sigterm, replace_block
from mmengine.config import Config, DictAction
from mmseg.registry import DATASETS
from run_queue import Run, RunQueue
from run_report import aggregate, markdown, scores_table

from condseg_mmseg.configs import find_config
from condseg_mmseg.utils.arguments import refuse_inputs
from condseg_mmseg.utils.errors import UserError
from condseg_mmseg.utils.files import write_json, write_text
from condseg_mmseg.utils.lock import locked


def slug(label: str) -> str:
    """Name of a label's folder."""
    return re.sub(r'[^A-Za-z0-9._+-]+', '-', label).strip('-.')


def parse_pairs(items: Sequence[str], what: str = '') -> dict[str, str]:
    """Read LABEL=CONFIG arguments.

    Raises:
        UserError: One has no ``=``, no such config, or the folder of another.
    """
    found: dict[str, str] = {}
    for item in items:
        label, separator, config = item.partition('=')
        folder = slug(label).lower()
        if not separator or not folder:
            raise UserError(f'{what}{item}: expected LABEL=CONFIG')
        if same := [other for other in found if slug(other).lower() == folder]:
            raise UserError(f'{what}{item}: the label {same[0]!r} has the same folder')
        find_config(config)
        found[label.strip()] = config
    return found


def plan(args: argparse.Namespace) -> list[Run]:
    """Check the arguments and list the runs: every label with a seed before the next seed.

    Raises:
        UserError: What the arguments name does not hold together, or cannot be trained.
    """
    labels, first = parse_pairs(args.configs), parse_pairs(args.stage1, '--stage1 ')
    if len(set(args.seeds)) < len(args.seeds) or not all(0 <= s < 2**32 for s in args.seeds):
        raise UserError(f'--seeds {args.seeds}: each once, from 0 to 2**32 - 1')
    for name, label in [('--stage1', label) for label in first] + [('--baseline', args.baseline)]:
        if label is not None and label not in labels:
            raise UserError(f'{name} {label}: no such label; there are {", ".join(labels)}')
    inputs = [*labels.values(), *first.values(), args.markdown]
    for name in ('ablation.json', 'ablation.md'):
        refuse_inputs('OUT_DIR', args.out_dir / name, inputs)
    runs = []
    for seed in args.seeds:
        for label, config in labels.items():
            configs = [first[label], config] if label in first else [config]
            folder = args.out_dir / slug(label) / f'seed{seed}'
            runs.append(Run(label, seed, configs, folder, args.cfg_options))
    built: dict[str, float] = {}
    for run in runs:
        for source, cfg in zip(run.sources, run.configs, strict=True):
            if source not in built:
                built[source] = check(source, cfg)
        run.parameters_m = built[run.sources[-1]]
        run.check_earlier(args.resume)
    return runs


def check(source: str, config: Config) -> float:
    """Build what a config describes, so that its errors come before the first run.

    Returns:
        Millions of parameters.

    Raises:
        UserError: A part is missing or does not build.
    """
    try:
        model = build_model(config)
        for name in ('train', 'val', 'test'):
            DATASETS.build(copy.deepcopy(config[f'{name}_dataloader'].dataset))
    except Exception as error:  # a config may fail in any way
        reason = ' '.join(str(error).split())
        raise UserError(f'{source} cannot be built: {type(error).__name__}: {reason}') from error
    return round(count(model) / 1e6, 2)


def put_into(page: Path, record: dict) -> None:
    """Replace the table of a page.

    Raises:
        UserError: The page cannot be read, or has no place for it.
    """
    try:
        old = page.read_text(encoding='utf-8')
        results = '<!-- results -->' in old and '<!-- ablation -->' not in old
        name, new = ('results', scores_table) if results else ('ablation', markdown)
        write_text(page, replace_block(old, name, new(record)))
    except (OSError, ValueError) as error:
        raise UserError(f'--markdown {page}: {error}') from error


def train(args: argparse.Namespace, runs: list[Run], work: RunQueue) -> int:
    """Make the runs and write the results after each; returns the exit status."""
    failed: set[Run] = set()
    left = len(work.waiting)
    print(f'{len(runs)} runs, {len(runs) - left} of them finished before', flush=True)
    record = write(args, runs, failed)
    if args.markdown:
        put_into(args.markdown, record)
    for run, problem in work.work():
        left -= 1
        if problem:
            failed.add(run)
        print(f'{run}: {"failed: " + problem if problem else "finished"}; {left} to go', flush=True)
        record = write(args, runs, failed)
    print(markdown(record))
    if args.markdown:
        put_into(args.markdown, record)
    return int(bool(failed))


def write(args: argparse.Namespace, runs: Sequence[Run], failed: set[Run]) -> dict:
    """Write ``ablation.json`` and ``ablation.md``, and return what the first holds."""
    results = [result for run in runs if (result := run.result()) is not None]
    states = {False: 'not finished', True: 'failed'}
    record = {
        'seeds': args.seeds,
        'baseline': args.baseline,
        'cfg_options': args.cfg_options or {},
        'summary': aggregate(results, args.baseline),
        'runs': results,
        'unfinished': [
            dict(label=run.label, seed=run.seed, state=states[run in failed])
            for run in runs
            if run.result() is None
        ],
    }
    write_json(args.out_dir / 'ablation.json', record)
    write_text(args.out_dir / 'ablation.md', markdown(record) + '\n')
    return record


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('out_dir', type=Path, metavar='OUT_DIR', help='folder of all runs')
    add('configs', nargs='*', metavar='LABEL=CONFIG', help='none: only the table')
    add('--seeds', type=int, nargs='+', default=[0], metavar='SEED', help='default: 0')
    add('--stage1', nargs='+', default=[], metavar='LABEL=CONFIG', help='first stage of a label')
    add('--cfg-options', nargs='+', action=DictAction, metavar='K=V', help='change every config')
    add('--jobs', type=int, default=1, help='trainings at a time, each on its share of the cores')
    add('--baseline', metavar='LABEL', help='label to subtract, paired by seed')
    add('--markdown', type=Path, metavar='FILE', help='file whose table to replace')
    add('--machine', help='what to call the processor; its name if not given')
    add('--resume', action='store_true', help='go on with interrupted runs')
    return parser


def _run(args: argparse.Namespace) -> int:
    if not args.configs:
        try:
            record = json.loads((args.out_dir / 'ablation.json').read_text(encoding='utf-8'))
        except (OSError, ValueError) as error:
            raise UserError(f'OUT_DIR {args.out_dir} holds no results: {error}') from error
        print(markdown(record))
        if args.markdown:
            put_into(args.markdown, record)
        return 0
    runs = plan(args)
    args.out_dir.mkdir(parents=True, exist_ok=True)
    with exit_on_sigterm(), locked(args.out_dir) as lock:
        return train(args, runs, RunQueue(runs, lock, args.jobs, args.machine))


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns 1 if a run failed."""
    args = make_parser().parse_args(argv)
    args.out_dir = Path(os.path.relpath(args.out_dir))
    try:
        return _run(args)
    except UserError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('stopped; --resume goes on', file=sys.stderr)
        return 130


if __name__ == '__main__':
    sys.exit(main())
