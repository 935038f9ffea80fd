"""Statistics and tables of an ablation, apart from how its runs are made."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

SHOWN = ('image/mDice', 'image/mIoU')  # in the table; the JSON file has all scores
EPOCHS = ('best', 'last')
ROOT = Path(__file__).resolve().parents[2]


def write(path: Path, text: str) -> None:
    """Replace a file at once: whoever reads it finds the old text or the new one."""
    temporary = path.with_name(f'{path.name}.{os.getpid()}.tmp')
    temporary.write_text(text, encoding='utf-8')
    os.replace(temporary, path)


def environment(threads: int, machine: str) -> dict:
    """Say what a run is made with: machine, threads, date, versions, commit.

    Args:
        threads: Threads of the run.
        machine: What to call the machine.
    """
    import mmcv
    import mmengine
    import mmseg
    import torch

    import condseg_mmseg

    modules = (torch, mmengine, mmcv, mmseg, condseg_mmseg)
    git = subprocess.run(
        ['git', 'describe', '--always', '--dirty', '--abbrev=12', '--exclude=*'],
        cwd=ROOT, capture_output=True, text=True,
    ) if (ROOT / '.git').exists() else None  # fmt: skip
    return {
        'machine': machine,
        'threads': threads,
        'date': datetime.now().astimezone().isoformat(timespec='seconds'),
        'python': platform.python_version(),
        **{module.__name__: str(module.__version__) for module in modules},
        'commit': git.stdout.strip() or None if git else None,
    }


def machine_name() -> str:
    """Name of the processor."""
    try:
        for line in Path('/proc/cpuinfo').read_text().splitlines():
            if line.startswith('model name'):
                return line.partition(':')[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine() or sys.platform


def moments(values: Sequence[float]) -> dict:
    """Mean and sample standard deviation (n - 1 in the denominator; None for one value)."""
    return {
        'mean': round(statistics.mean(values), 3),
        'std': round(statistics.stdev(values), 3) if len(values) > 1 else None,
    }


def aggregate(runs: Sequence[dict], labels: Sequence[str], baseline: str | None = None) -> dict:
    """Mean and standard deviation over the seeds of every label.

    Args:
        runs: Finished runs: ``label``, ``seed``, ``parameters_m`` and the scores of their ``best``
            and ``last`` epoch.
        labels: All labels, in the order of the table. One without a finished run is left out.
        baseline: Label whose score with the same seed is subtracted. Default None: no differences.

    Returns:
        By label: ``seeds``, ``parameters_m``, and for ``best`` and ``last`` the moments of every
        score; with a baseline ``difference`` with ``seeds`` (those that both finished) and the
        moments of the paired differences.
    """
    by_label = {
        label: {run['seed']: run for run in runs if run['label'] == label} for label in labels
    }
    summary = {}
    for label, found in by_label.items():
        if not found:
            continue
        names = [name for name in next(iter(found.values()))['best'] if name != 'epoch']
        entry = {
            'seeds': sorted(found),
            'parameters_m': next(iter(found.values()))['parameters_m'],
            **{
                epoch: {
                    name: moments([run[epoch][name] for run in found.values()]) for name in names
                }
                for epoch in EPOCHS
            },
        }
        base = by_label.get(baseline, {})
        seeds = sorted(found.keys() & base.keys())
        if baseline is not None and label != baseline and seeds:
            entry['difference'] = {
                'to': baseline,
                'seeds': seeds,
                **{
                    epoch: {
                        name: moments([found[k][epoch][name] - base[k][epoch][name] for k in seeds])
                        for name in names
                    }
                    for epoch in EPOCHS
                },
            }
        summary[label] = entry
    return summary


def _cell(scores: dict | None, sign: str = '') -> str:
    if scores is None:
        return '-'
    return ' / '.join(
        f'{round(scores[name]["mean"], 1) + 0.0:{sign}.1f} ± '  # + 0.0: no -0.0
        + ('-' if scores[name]['std'] is None else f'{scores[name]["std"]:.1f}')
        for name in SHOWN
    )


def table(summary: dict, baseline: str | None = None) -> str:
    """Markdown table of what :func:`aggregate` returns."""

    def escape(text: str) -> str:
        return text.replace('|', '\\|')

    head = ['method', 'seeds', 'parameters (M)', 'best: mDice / mIoU', 'last: mDice / mIoU']
    if baseline is not None:
        head += [f'best, less {escape(baseline)}', f'last, less {escape(baseline)}']
    rows = [head, ['---'] * len(head)]
    for label, entry in summary.items():
        row = [
            escape(label),
            str(len(entry['seeds'])),
            f'{entry["parameters_m"]}',
            *(_cell(entry[epoch]) for epoch in EPOCHS),
        ]
        if baseline is not None:
            difference = entry.get('difference', {})
            row += [_cell(difference.get(epoch), '+') for epoch in EPOCHS]
        rows.append(row)
    return '\n'.join('| ' + ' | '.join(row) + ' |' for row in rows)


def _distinct(runs: Sequence[dict], *names: str) -> str:
    found = dict.fromkeys(
        ' '.join(str(run['environment'][name]) for name in names if run['environment'][name])
        for run in runs
    )
    return ' and '.join(text for text in found if text)


def _seeds(seeds: Sequence[int]) -> str:
    return f'seed{"s" if len(seeds) > 1 else ""} {", ".join(map(str, seeds))}'


def markdown(record: dict) -> str:
    """The table with what a reader must know about it.

    Args:
        record: What ``ablation.json`` holds.
    """
    runs, baseline = record['runs'], record['baseline']
    text = [
        table(record['summary'], baseline),
        '',
        'Percent, per image on the validation list; mean ± standard deviation (n - 1) over the '
        f'{_seeds(record["seeds"])}. "best" is the best epoch by mIoU on these same images, "last" '
        'the last one.',
    ]
    if baseline is not None:
        text[-1] += ' Differences are paired by seed.'
    if runs:
        dates = sorted(run['environment']['date'][:10] for run in runs)
        dates = dates[0] if dates[0] == dates[-1] else f'{dates[0]} to {dates[-1]}'
        threads = _distinct(runs, 'threads')
        text[-1] += (
            f' {_distinct(runs, "machine")}, {threads} thread{"s" if threads != "1" else ""} a '
            f'run, torch {_distinct(runs, "torch")}, {dates}'
        )
        commit = _distinct(runs, 'commit')
        text[-1] += f', commit {commit}.' if commit else '.'
    states: dict[str, dict[str, list[int]]] = {}
    for run in record['unfinished']:
        states.setdefault(run['state'], {}).setdefault(run['label'], []).append(run['seed'])
    for state, labels in states.items():
        names = ', '.join(f'{label} ({_seeds(seeds)})' for label, seeds in labels.items())
        text += ['', f'{state.capitalize()}: {names}.']
    return '\n'.join(text)


def dumps(record: dict) -> str:
    """The text of ``ablation.json``."""
    return json.dumps(record, indent=2, ensure_ascii=False) + '\n'
