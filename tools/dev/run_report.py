"""What trainings came to: scores of one run, statistics over seeds, the table of a report."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

import condseg_mmseg  # noqa: F401 - allows the safe load of checkpoints
from condseg_mmseg.utils.tables import number, table

SCORES = ('image/mDice', 'image/mIoU', 'image/mRecall', 'image/mPrecision')
SHOWN = SCORES[:2]  # in the table; the JSON file has all
EPOCHS = ('best', 'last')
Result = dict[str, Any]


def read_rows(work_dir: Path) -> list[Result]:
    """All scalars of a working directory of mmengine, in the order of training.

    Where a run was resumed, its rows replace those that it repeats. Test runs are left out.
    """
    rows: dict[tuple[bool, int], Result] = {}
    for path in sorted(work_dir.glob('*/vis_data/scalars.json')):
        found = [json.loads(line) for line in path.read_text(encoding='utf-8').splitlines()]
        losses = [row for row in found if 'loss' in row]
        if not losses:
            continue
        # training rows count iterations, those of a validation epochs
        first = {True: losses[0]['step'], False: losses[0].get('epoch', 0)}
        rows = {key: row for key, row in rows.items() if key[1] < first[key[0]]}
        rows |= {('loss' in row, row['step']): row for row in found}
    return list(rows.values())


def summarize(work_dir: Path) -> Result:
    """Summarize one training.

    Args:
        work_dir: Working directory of mmengine.

    Returns:
        ``iterations``, ``epochs``, ``seconds_per_iteration``, ``training_minutes``, and the scores
        of the ``best`` (by ``image/mIoU``) and of the ``last`` epoch, in percent.

    Raises:
        ValueError: It holds no training that was validated.
    """
    rows = read_rows(work_dir)
    train = [row for row in rows if 'loss' in row]
    val = [row for row in rows if SCORES[0] in row]
    if not train or not val:
        raise ValueError(f'{work_dir} holds no validation scores ({SCORES[0]})')
    steps = [0, *(row['step'] for row in train)]
    seconds = sum(
        row['time'] * (now - before)
        for row, before, now in zip(train, steps[:-1], steps[1:], strict=True)
    )
    best = max(val, key=lambda row: row['image/mIoU'])
    # the last iterations of an epoch need not be logged
    iterations = max([steps[-1], *map(_iterations, work_dir.glob('epoch_*.pth'))])
    scores = {
        name: {'epoch': row['step'], **{key: round(row[key], 2) for key in SCORES}}
        for name, row in zip(EPOCHS, (best, val[-1]), strict=True)
    }
    return dict(
        iterations=iterations, epochs=train[-1]['epoch'],
        seconds_per_iteration=round(seconds / steps[-1], 3),
        training_minutes=round(seconds / 60, 1), **scores,
    )  # fmt: skip


def _iterations(checkpoint: Path) -> int:
    content = torch.load(checkpoint, map_location='cpu', weights_only=True, mmap=True)
    return content['meta']['iter']


def moments(values: Sequence[float]) -> Result:
    """Mean and sample standard deviation (n - 1 in the denominator; None for one value)."""
    return {
        'mean': round(statistics.mean(values), 3),
        'std': round(statistics.stdev(values), 3) if len(values) > 1 else None,
    }


def aggregate(runs: Sequence[Result], baseline: str | None = None) -> Result:
    """Mean and standard deviation over the seeds of every label.

    Args:
        runs: Finished runs: ``label``, ``seed``, ``parameters_m`` and the scores of their ``best``
            and ``last`` epoch.
        baseline: Label whose score with the same seed is subtracted. Default None: no differences.

    Returns:
        By label: ``seeds``, ``parameters_m``, and for ``best`` and ``last`` the moments of every
        score; with a baseline ``difference`` with ``seeds`` (those that both finished) and the
        moments of the paired differences.
    """
    by_label: dict[str, dict[int, Result]] = {}
    for run in runs:
        by_label.setdefault(run['label'], {})[run['seed']] = run
    base = by_label.get(baseline or '', {})
    summary = {}
    for label, found in by_label.items():
        parameters = next(iter(found.values()))['parameters_m']
        entry = {'seeds': sorted(found), 'parameters_m': parameters}
        summary[label] = entry | _over_seeds(found.values())
        shared = sorted(found.keys() & base.keys())
        if label != baseline and shared:
            pairs = [_less(found[seed], base[seed]) for seed in shared]
            summary[label]['difference'] = {'to': baseline, 'seeds': shared, **_over_seeds(pairs)}
    return summary


def _over_seeds(runs: Iterable[Result]) -> Result:
    runs = list(runs)
    return {
        epoch: {
            name: moments([run[epoch][name] for run in runs])
            for name in runs[0][epoch]
            if name != 'epoch'
        }
        for epoch in EPOCHS
    }


def _less(run: Result, base: Result) -> Result:
    return {
        epoch: {name: run[epoch][name] - base[epoch][name] for name in run[epoch]}
        for epoch in EPOCHS
    }


def scores_table(record: Result) -> str:
    """Markdown table of ``ablation.json``: of one seed the scores, of several their moments."""
    summary, baseline = aggregate(record['runs'], record['baseline']), record['baseline']
    if len(record['seeds']) == 1 and baseline is None:
        return _one_seed(record['runs'])
    head = ['method', 'seeds', 'parameters (M)', 'best: mDice / mIoU', 'last: mDice / mIoU']
    if baseline is not None:
        head += [f'{epoch}, less {_escape(baseline)}' for epoch in EPOCHS]
    rows = []
    for label, entry in summary.items():
        row = [_escape(label), str(len(entry['seeds'])), str(entry['parameters_m'])]
        row += [_cell(entry[epoch]) for epoch in EPOCHS]
        if baseline is not None:
            row += [_cell(entry.get('difference', {}).get(epoch), sign=True) for epoch in EPOCHS]
        rows.append(row)
    return table(head, rows, aligned=False)


def _one_seed(runs: Sequence[Result]) -> str:
    head = ['model', 'parameters (M)', 'iterations', 'best: mDice / mIoU', 'epoch']
    rows = []
    for run in runs:
        best, last = (' / '.join(number(run[epoch][name], 1) for name in SHOWN) for epoch in EPOCHS)
        values = run['parameters_m'], run['iterations'], best, run['best']['epoch'], last
        rows.append([_escape(run['label']), *map(str, values)])
    return table([*head, 'last: mDice / mIoU'], rows, aligned=False)


def _escape(text: str) -> str:
    return text.replace('|', '\\|')


def _cell(scores: Result | None, sign: bool = False) -> str:
    cells = []
    for name in SHOWN if scores is not None else ():
        assert scores is not None
        mean = round(scores[name]['mean'], 1) + 0.0  # + 0.0: no -0.0
        cells.append(f'{number(mean, 1, sign)} ± {number(scores[name]["std"], 1)}')
    return ' / '.join(cells) or '-'


def markdown(record: Result) -> str:
    """The table with what a reader must know about it.

    Args:
        record: What ``ablation.json`` holds.
    """
    several = len(record['seeds']) > 1
    over = 'mean ± standard deviation (n - 1) over ' if several else ''
    note = (
        f'Percent, per image on the validation list; {over}{_seeds(record["seeds"])}. "best" is '
        'the best epoch by mIoU on these same images, "last" the last one.'
    )
    if record['baseline'] is not None:
        note += ' Differences are paired by seed.'
    if record['runs']:
        note += f' {_where([run["environment"] for run in record["runs"]])}.'
    text = [scores_table(record), note]
    states: dict[str, dict[str, list[int]]] = {}
    for run in record['unfinished']:
        states.setdefault(run['state'], {}).setdefault(run['label'], []).append(run['seed'])
    for state, labels in states.items():
        names = ', '.join(f'{label} ({_seeds(seeds)})' for label, seeds in labels.items())
        text.append(f'{state.capitalize()}: {names}.')
    return '\n\n'.join(text)


def _where(environments: Sequence[Result]) -> str:
    def distinct(values: Iterable[object]) -> str:
        return ' and '.join(dict.fromkeys(map(str, values)))

    dates = sorted(env['date'][:10] for env in environments)
    threads = distinct(env['machine']['threads'] for env in environments)
    parts = [
        distinct(env['machine']['cpu'] for env in environments),
        f'{threads} thread{"" if threads == "1" else "s"} a run',
        f'torch {distinct(env["versions"]["torch"] for env in environments)}',
        dates[0] if dates[0] == dates[-1] else f'{dates[0]} to {dates[-1]}',
    ]
    commits = [env['commit'].partition('+') for env in environments if env['commit']]
    if commits:
        parts.append(f'commit {distinct(head[:12] + "".join(rest) for head, *rest in commits)}')
    return ', '.join(parts)


def _seeds(seeds: Sequence[int]) -> str:
    return f'seed{"s" if len(seeds) > 1 else ""} {", ".join(map(str, seeds))}'
