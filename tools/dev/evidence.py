"""Make the runs of docs/results/plan.md, one after the other.

    python tools/dev/evidence.py search|table|minutes|ablation|lite2 OUT_DIR [--only LABEL]
    python tools/dev/evidence.py search OUT_DIR --list

Start it in the folder that holds data/kvasir-seg and data/cvc-clinicdb-odd; what
polyp_free.py and other_light.py make goes beside them. Logs and checkpoints go into
OUT_DIR/PART/LABEL/seed0 and so on (see run_queue.py). The same command again goes on after any
stop: finished runs are not repeated, others go on from their last whole checkpoint. It waits for a
training that outlived a killed queue.

A finished run leaves small files in CHECKOUT/docs/results/comparison/PART, which are to be
committed. A run that has them is finished, also where OUT_DIR is lost::

    LABEL-seed0.csv              last checkpoint, on the validation list
    LABEL-seed0_best.csv         the best one on that list, by mIoU
    LABEL-seed0_unseen.csv       last checkpoint, on videos that nothing was trained on
    LABEL-seed0_polyp_free.csv   last checkpoint, on crops of that list without a polyp
    LABEL-seed0_light.csv        last checkpoint, on that list in other light
    LABEL-seed0_unaveraged.csv   of the search: last checkpoint, weights without the average
    LABEL-seed0.json             scores by epoch, time, commit, versions, machine, options

The search goes on by its own scores, as the plan says, and the other parts take what it chose: they
need its files. A run whose numbers are no longer finite is made once more with seed 10 + its seed.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import evidence_runs
from dev_common import ROOT, check, exit_on_sigterm, slug
from evidence_runs import BASELINES, LIGHT, POLYP_FREE, SEEDS, UNSEEN, Planned
from other_light import relight_all
from polyp_free import cut
from run_files import compact, finished, stacked
from run_queue import Run, Scored, make

from condseg_mmseg.engine.atomic_checkpoint import numbered_checkpoints
from condseg_mmseg.utils.errors import UserError
from condseg_mmseg.utils.files import write_json, write_text
from condseg_mmseg.utils.lock import locked

PARTS = ('search', 'table', 'minutes', 'ablation', 'lite2')
ROOT_KEY = 'test_dataloader.dataset.data_root'
MADE = {POLYP_FREE[ROOT_KEY]: cut, LIGHT[ROOT_KEY]: relight_all}  # of the data set beside them
NOT_FINITE = 'parameters are not finite'  # what CheckFiniteHook says


class Evidence:
    """Runs of a part, and the files of the finished ones.

    Args:
        part: One of ``PARTS``.
        out_dir: Folder of logs and checkpoints.
        checkout: Where ``docs/results/comparison`` is.
        only: Label of the runs to make, or of the method whose trials to make. Default None: all.
    """

    def __init__(
        self, part: str, out_dir: Path, checkout: Path = ROOT, only: str | None = None
    ) -> None:
        self.part, self.out_dir, self.only = part, out_dir, only
        self.results = checkout / 'docs' / 'results' / 'comparison'

    def scores(self) -> dict[str, float]:
        """Label of a finished trial of the search -> mDice of its last weights, not averaged."""
        runs = finished(self.results / 'search')
        dice = {label: stacked(found, '_unaveraged').mean() for label, found in runs.items()}
        return {label: round(float(value), 2) for label, value in dice.items()}

    def baselines(self) -> dict[str, float]:
        """Baseline -> mDice on the 120 images, of the last checkpoints of the table.

        Raises:
            UserError: It lacks a run.
        """
        runs = finished(self.results / 'table')
        counts = {label: len(runs.get(label, ())) for label in BASELINES}
        if missing := [f'{label} ({n})' for label, n in counts.items() if n < len(SEEDS)]:
            raise UserError(
                f'{self.part}: the table has fewer than {len(SEEDS)} seeds of {", ".join(missing)}'
            )
        return {label: float(stacked(runs[label]).mean()) for label in BASELINES}

    def planned(self) -> list[Planned]:
        """All runs of the part that are known by now, in order.

        Raises:
            UserError: The search has to be finished first, or no run has the label ``only``.
        """
        scores = self.scores()
        choices = evidence_runs.chosen(scores)
        if self.part == 'search':
            runs = evidence_runs.search_runs(scores)
        elif choices is None:
            raise UserError(
                f'{self.part}: the recipe comes from the search, which is not finished in '
                f'{self.results / "search"}'
            )
        elif self.part == 'minutes':
            steps = json.loads((self.results / 'steps.json').read_text(encoding='utf-8'))
            runs = evidence_runs.minutes_runs(choices, self.baselines(), steps['seconds'])
        else:
            runs = getattr(evidence_runs, f'{self.part}_runs')(choices)
        labels = dict.fromkeys(run.label for run in runs)
        if self.only is not None:
            runs = [run for run in runs if self.only in (run.label, run.label.partition(':')[0])]
            if not runs:
                raise UserError(f'--only {self.only}: there are {", ".join(labels)}')
        return [self._again(run) for run in runs]

    def _again(self, planned: Planned) -> Planned:
        """Take another seed, once, where the numbers of a run were no longer finite."""
        failed = self._folder(planned) / 'failed'
        diverged = failed.exists() and NOT_FINITE in failed.read_text(encoding='utf-8')
        return planned._replace(seed=10 + planned.seed) if diverged else planned

    def _folder(self, planned: Planned) -> Path:
        return self.out_dir / planned.part / slug(planned.label) / f'seed{planned.seed}'

    def run(self, planned: Planned) -> Run:
        """What the queue makes of a planned run."""
        scored = [Scored('scores.csv', 'last'), Scored('scores_best.csv', 'best')]
        if planned.part == 'search':
            scored.append(Scored('scores_unaveraged.csv', 'unaveraged'))
        else:
            scored.append(Scored('scores_unseen.csv', 'last', UNSEEN))
            scored.append(Scored('scores_polyp_free.csv', 'last', POLYP_FREE))
            scored.append(Scored('scores_light.csv', 'last', LIGHT))
        return Run(
            planned.label, planned.seed, planned.configs, self._folder(planned), planned.options,
            scored,
        )  # fmt: skip

    def published(self, planned: Planned) -> dict[str, Any] | None:
        """The committed record of a finished run, or None.

        Raises:
            UserError: It was made with other configs or options.
        """
        path = self._published(planned, '.json')
        if not path.exists():
            return None
        record = json.loads(path.read_text(encoding='utf-8'))
        for key, value in _settings(planned).items():
            renamed = key == 'configs' and planned.part == 'search'  # see docs/results/log.md
            if record[key] != value and not renamed:
                raise UserError(f'{path} is of a run with other {key}: {record[key]}, not {value}')
        return record

    def _published(self, planned: Planned, ending: str) -> Path:
        name = f'{slug(planned.label)}-seed{planned.seed}{ending}'
        return self.results / planned.part / name

    def publish(self, planned: Planned, run: Run) -> None:
        """Write the small files of a run that has finished; the record is the last."""
        result = run.result()
        assert result is not None
        for scored in run.scored:
            scores = compact((run.folder / scored.csv).read_text(encoding='utf-8'))
            write_text(self._published(planned, scored.csv.removeprefix('scores')), scores)
        write_json(self._published(planned, '.json'), result | _settings(planned))

    def todo(self, failed: Sequence[Planned] = ()) -> dict[Run, Planned]:
        """Runs to make now; those that only have to be published are.

        Args:
            failed: Runs to leave out.

        Raises:
            UserError: A run cannot be made.
        """
        found = {}
        for planned in self.planned():
            if planned in failed or self.published(planned) is not None:
                continue
            run = self.run(planned)
            run.check_earlier()
            if run.result() is not None:
                self.publish(planned, run)
                continue
            parameters = [check(*item) for item in zip(planned.configs, run.configs, strict=True)]
            run.parameters_m = parameters[-1]
            found[run] = planned
        return found

    def work(self) -> int:
        """Make all runs; returns 1 if one failed."""
        self.out_dir.mkdir(parents=True, exist_ok=True)
        if _is_locked(self.out_dir):
            print(f'waiting for a run that is still going on in {self.out_dir}', flush=True)
        failed: list[Planned] = []
        with locked(self.out_dir, patience=math.inf) as lock:
            for folder, fill in MADE.items() if self.part != 'search' else ():
                to = Path(folder)
                if not (to / 'all.txt').exists():
                    print(f'{to}: {fill(to.with_name("kvasir-seg"), to)} images', flush=True)
            while todo := self.todo(failed):
                print(f'to do: {"; ".join(map(str, todo))}', flush=True)
                for run, planned in todo.items():
                    if problem := make(run, lock):
                        failed.append(planned)
                    else:
                        self.publish(planned, run)
                    end = f'failed: {problem}' if problem else 'finished'
                    print(f'{run}: {end}', flush=True)
        print(self.describe(), flush=True)
        return int(bool(failed))

    def describe(self) -> str:
        """A line for every run: what was finished, is running, failed or waits."""
        busy = _is_locked(self.out_dir)
        lines = [
            f'{f"{planned.label}, seed {planned.seed}":40} {self._state(planned, busy)}'
            for planned in self.planned()
        ]
        choices = evidence_runs.chosen(self.scores()) if self.part == 'search' else None
        lines += [f'chosen for {label}: {dict(item)}' for label, item in (choices or {}).items()]
        return '\n'.join(lines)

    def _state(self, planned: Planned, busy: bool) -> str:
        record = self.published(planned)
        if record is not None:
            last = record['last']
            return (
                f'finished: mDice {last["image/mDice"]:.2f}, mIoU {last["image/mIoU"]:.2f} '
                f'(last epoch), {record["seconds_per_iteration"]} s per step'
            )
        run = self.run(planned)
        if run.failed.exists():
            return f'failed: {run.failed.read_text(encoding="utf-8").splitlines()[0]}'
        if not run.log.exists():
            return 'waiting'
        saved = [str(found[0].relative_to(run.work_dir)) for stage in run.stages
                 if (found := numbered_checkpoints(stage))]  # fmt: skip
        return f'{"running" if busy else "interrupted"}: {saved[-1] if saved else "no checkpoint"}'


def _settings(planned: Planned) -> dict[str, Any]:
    settings = {'configs': planned.configs, 'options': dict(planned.options)}
    return json.loads(json.dumps(settings))  # tuples become lists


def _is_locked(folder: Path) -> bool:
    try:
        with locked(folder, patience=-1):
            return False
    except FileNotFoundError:
        return False
    except UserError:
        return True


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('part', choices=PARTS)
    add('out_dir', type=Path, metavar='OUT_DIR', help='folder of logs and checkpoints')
    add('--only', metavar='LABEL', help='only the runs of this label, or trials of this method')
    add('--list', action='store_true', help='print the state of the runs, and make none')
    add('--checkout', type=Path, default=ROOT, metavar='DIR', help='default: that of this script')
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns 1 if a run failed."""
    args = make_parser().parse_args(argv)
    evidence = Evidence(args.part, args.out_dir, args.checkout, args.only)
    try:
        if args.list:
            print(evidence.describe())
            return 0
        with exit_on_sigterm():
            return evidence.work()
    except UserError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('stopped; the same command goes on', file=sys.stderr)
        return 130


if __name__ == '__main__':
    sys.exit(main())
