"""Train several configs with several seeds; write mean and standard deviation of their scores.

    python tools/analysis_tools/ablate.py OUT_DIR LABEL=CONFIG [LABEL=CONFIG ...] --seeds 0 1 2

Every label is trained once with every seed, by tools/train.py, in ``OUT_DIR/LABEL/seed0`` and so
on. All labels are trained with the first seed before the second one begins, so that an ablation
that is cut short still compares like with like. All configs, networks and data sets are built
before the first run starts.

After every run ``OUT_DIR/ablation.json`` (all scores) and ``OUT_DIR/ablation.md`` (the table) are
written anew, and with ``--markdown FILE`` what stands between the lines ``<!-- ablation -->`` and
``<!-- /ablation -->`` of FILE. Scores are those of the validation list: of the best epoch by
``image/mIoU``, and of the last one.

The same command again repeats no finished run; with ``--resume`` it goes on with those that were
interrupted or failed. A run made with another config is refused, and what differs is named.

Two stages: ``--stage1 LABEL=CONFIG`` names the first stage of a label. It is trained once per seed
in ``OUT_DIR/_stage1``, shared by the labels that name the same config, and its best encoder starts
the label's own training.
"""

from __future__ import annotations

import argparse
import copy
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from _ablation_checks import Checker, check_start, load, parse_pairs, slug
from _ablation_report import aggregate, dumps, environment, machine_name, markdown, write
from _ablation_runs import Pool, Run, check_earlier, locked, shares
from mmengine.config import Config, DictAction
from summarize_runs import replace_table

from condseg_mmseg.utils.arguments import refuse_inputs

MARKERS = ('<!-- ablation -->', '<!-- /ablation -->')


def order(labels: Sequence[str], seeds: Sequence[int]) -> list[tuple[str, int]]:
    """All (label, seed), every label with the first seed before any with the second."""
    return [(label, seed) for seed in seeds for label in labels]


def _seeded(config: Config, seed: int) -> Config:
    config = copy.deepcopy(config)
    config.merge_from_dict({'randomness.seed': seed})
    return config


def _start_from(config: Config, stage1: Run) -> dict:
    """The initialisation of an encoder by the best one of a stage 1, other settings kept."""
    given = config.model.backbone.get('init_cfg')
    own = isinstance(given, dict) and given.get('type') == 'StrictPretrained'
    return dict(
        dict(given) if own else {},
        type='StrictPretrained',
        checkpoint=str(stage1.work_dir),
        prefix='backbone.',
    )


def plan(args: argparse.Namespace) -> list[Run]:
    """Check the arguments and list the runs, each behind the stage 1 it starts from.

    Args:
        args: The command line.

    Raises:
        ValueError: What the arguments name does not hold together.
    """
    labels = parse_pairs(args.configs, '')
    first = parse_pairs(args.stage1, '--stage1 ')
    if len(set(args.seeds)) < len(args.seeds) or not all(0 <= s < 2**32 for s in args.seeds):
        raise ValueError(f'--seeds {args.seeds}: each once, from 0 to 2**32 - 1')
    for name, label in [('--stage1', label) for label in first] + [('--baseline', args.baseline)]:
        if label is not None and label not in labels:
            raise ValueError(f'{name} {label}: no such label; there are {", ".join(labels)}')
    if '_stage1' in map(slug, labels):
        raise ValueError('_stage1 is the folder of the first stages; choose another label')
    for name in ('ablation.json', 'ablation.md'):
        inputs = [*labels.values(), *first.values(), args.markdown]
        refuse_inputs('OUT_DIR', args.out_dir / name, inputs)
    check = Checker()
    configs = {path: load(path, args.cfg_options) for path in [*labels.values(), *first.values()]}
    checked = {path: check(path, config) for path, config in configs.items()}
    for label, path in first.items():
        ours, theirs = checked[labels[label]][2], checked[path][2]
        wrong = sorted(k for k in ours.keys() | theirs.keys() if ours.get(k) != theirs.get(k))
        if wrong:
            raise ValueError(
                f'--stage1 {label}={path}: its encoder is another one than that of '
                f'{labels[label]}; {len(wrong)} weights differ, the first is {wrong[0]}'
            )
    for label in labels.keys() - first.keys():
        check_start(label, labels[label], configs[labels[label]])
    stages: dict[tuple[Path, int], Run] = {}
    runs: list[Run] = []
    for label, seed in order(list(labels), args.seeds):
        path, stage1 = labels[label], None
        config = _seeded(configs[path], seed)
        if label in first:
            source = first[label]
            key = (Path(source).resolve(), seed)
            if key not in stages:
                stages[key] = _run(
                    Path(source).stem, seed, _seeded(configs[source], seed), source,
                    args.out_dir / '_stage1' / slug(Path(source).stem), checked[source],
                )  # fmt: skip
                runs.append(stages[key])
            stage1 = stages[key]
            config.model.backbone.init_cfg = _start_from(config, stage1)
        folder = args.out_dir / slug(label)
        runs.append(_run(label, seed, config, path, folder, checked[path], stage1))
    for folder, seed in {(run.folder, run.seed): None for run in runs}:
        same = {run.source for run in runs if (run.folder, run.seed) == (folder, seed)}
        if len(same) > 1:
            raise ValueError(f'--stage1: {", ".join(sorted(same))} need different file names')
    for run in runs:
        check_earlier(run, args.resume)
        run.state = 'finished' if run.done() else 'waiting'
    return runs


def _run(
    label: str, seed: int, config: Config, source: str, folder: Path, checked: tuple,
    stage1: Run | None = None,
) -> Run:  # fmt: skip
    parameters, steps, _ = checked
    return Run(label, seed, config, source, folder, stage1, parameters, steps)


class Report:
    """Writes the results after every run and says how it went.

    Args:
        args: The command line.
        runs: All runs.
    """

    def __init__(self, args: argparse.Namespace, runs: Sequence[Run]) -> None:
        self.args, self.runs, self.problems = args, runs, {}
        self.stages = {id(run.stage1) for run in runs if run.stage1 is not None}
        self.labels = list(dict.fromkeys(run.label for run in runs if id(run) not in self.stages))

    def __call__(self, run: Run, problem: str | None) -> None:
        """Report one run that ended, and write the files."""
        if problem:
            self.problems[run] = problem
            print(f'{run}: failed: {problem}', file=sys.stderr, flush=True)
        else:
            result = run.result()
            best, left = result['best'], sum(r.state in ('waiting', 'running') for r in self.runs)
            print(
                f'{run}: finished in {result["training_minutes"]} min, best mDice '
                f'{best["image/mDice"]:.1f}, mIoU {best["image/mIoU"]:.1f}; {left} to go',
                flush=True,
            )
        self.write()

    def record(self) -> dict:
        """What ``ablation.json`` holds."""
        finished = [run for run in self.runs if run.state == 'finished']
        runs = [run.result() for run in finished if id(run) not in self.stages]
        return {
            'seeds': self.args.seeds,
            'baseline': self.args.baseline,
            'cfg_options': self.args.cfg_options or {},
            'summary': aggregate(runs, self.labels, self.args.baseline),
            'runs': runs,
            'stage1': [run.result() for run in finished if id(run) in self.stages],
            'unfinished': [
                {
                    'label': run.label,
                    'seed': run.seed,
                    'state': 'failed' if run.state == 'failed' else 'not finished',
                }
                for run in self.runs
                if run.state != 'finished'
            ],
        }

    def write(self) -> None:
        """Write the files."""
        record = self.record()
        text = markdown(record)
        write(self.args.out_dir / 'ablation.json', dumps(record))
        write(self.args.out_dir / 'ablation.md', text + '\n')
        if self.args.markdown:
            try:
                old = self.args.markdown.read_text(encoding='utf-8')
                write(self.args.markdown, replace_table(old, text, *MARKERS))
            except (OSError, ValueError) as error:  # edited meanwhile: no reason to stop training
                self.problems['--markdown'] = str(error)
                print(f'--markdown {self.args.markdown}: {error}', file=sys.stderr, flush=True)


def parse_args(argv: list[str] | None) -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('out_dir', type=Path, metavar='OUT_DIR', help='folder of all runs')
    parser.add_argument('configs', nargs='+', metavar='LABEL=CONFIG')
    parser.add_argument('--seeds', type=int, nargs='+', required=True, metavar='SEED')
    parser.add_argument(
        '--stage1', nargs='+', default=[], metavar='LABEL=CONFIG', help='first stage of a label'
    )
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, metavar='K=V',
        help='changes to every config, those of stage 1 too',
    )  # fmt: skip
    parser.add_argument(
        '--jobs', type=int, default=1,
        help='trainings at a time, each on its share of the cores (default: 1)',
    )  # fmt: skip
    parser.add_argument('--baseline', metavar='LABEL', help='label to subtract, paired by seed')
    parser.add_argument('--markdown', type=Path, metavar='FILE', help='file whose table to replace')
    parser.add_argument('--machine', default=machine_name(), help='default: name of the processor')
    parser.add_argument('--resume', action='store_true', help='go on with interrupted runs')
    return parser, parser.parse_args(argv)


def _check_markdown(path: Path | None) -> None:
    if path is None:
        return
    try:
        replace_table(path.read_text(encoding='utf-8'), '', *MARKERS)
    except (OSError, ValueError) as error:
        raise ValueError(f'--markdown {path}: {error}') from error


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns 1 if a run failed."""
    parser, args = parse_args(argv)
    # relative: the dumped configs name the folder of stage 1, whatever its spelling here
    args.out_dir = Path(os.path.relpath(args.out_dir))
    try:
        cores = shares(args.jobs)
    except ValueError as error:
        parser.error(f'--jobs {error}')
    try:
        _check_markdown(args.markdown)
        runs = plan(args)
        args.out_dir.mkdir(parents=True, exist_ok=True)
        with locked(args.out_dir) as lock:
            return _train(args, runs, cores, lock)
    except ValueError as error:
        parser.error(str(error))


def _train(args: argparse.Namespace, runs: list[Run], cores: list[list[int]], lock: int) -> int:
    report = Report(args, runs)
    report.write()
    left = sum(run.state == 'waiting' for run in runs)
    print(f'{len(runs)} runs, {len(runs) - left} of them finished before', flush=True)

    def stop(*_: object) -> None:
        raise SystemExit(143)

    main_thread = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, stop) if main_thread else None
    try:
        Pool(runs, cores, lock, lambda threads: environment(threads, args.machine), report).run()
    finally:
        if main_thread:
            signal.signal(signal.SIGTERM, before)
    print((args.out_dir / 'ablation.md').read_text(encoding='utf-8'))
    if report.problems:
        names = ', '.join(map(str, report.problems))
        print(f'error: failed: {names}', file=sys.stderr)
    return 1 if report.problems else 0


if __name__ == '__main__':
    sys.exit(main())
