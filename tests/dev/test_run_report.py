"""Statistics and table of an ablation, by hand values."""

import importlib
import sys

from helpers import ROOT

sys.path.insert(0, str(ROOT / 'tools' / 'analysis_tools'))
report = importlib.import_module('_ablation_report')


def result(label, seed, best, last=None):
    return {
        'label': label,
        'seed': seed,
        'parameters_m': 1.5,
        'best': {'epoch': 1, 'image/mDice': best, 'image/mIoU': best - 10},
        'last': {'epoch': 2, 'image/mDice': last or best, 'image/mIoU': (last or best) - 10},
    }


RESULTS = [
    *(result('base', k, v) for k, v in enumerate((70.0, 72.0, 77.0))),
    result('new', 2, 81.0, 80.0),
    result('new', 0, 71.0, 60.0),
]


def test_moments_by_hand():
    assert report.moments([70.0, 72.0, 77.0]) == {'mean': 73.0, 'std': 3.606}  # sqrt(26 / 2)
    assert report.moments([70.0]) == {'mean': 70.0, 'std': None}


def test_differences_are_paired_by_seed():
    summary = report.aggregate(RESULTS, ['base', 'new', 'none'], 'base')
    assert list(summary) == ['base', 'new']
    assert 'difference' not in summary['base']
    assert summary['new']['seeds'] == [0, 2]
    assert summary['new']['best']['image/mDice'] == {'mean': 76.0, 'std': 7.071}
    difference = summary['new']['difference']
    assert (difference['to'], difference['seeds']) == ('base', [0, 2])
    # 71 - 70 and 81 - 77; the means of all seeds differ by 3
    assert difference['best']['image/mDice'] == {'mean': 2.5, 'std': 2.121}
    # 60 - 70 and 80 - 77
    assert difference['last']['image/mIoU'] == {'mean': -3.5, 'std': 9.192}


def test_table_by_hand():
    summary = report.aggregate([*RESULTS, result('a|b', 1, 71.98)], ['base', 'new', 'a|b'], 'base')
    assert report.table(summary, 'base').splitlines()[2:] == [
        '| base | 3 | 1.5 | 73.0 ± 3.6 / 63.0 ± 3.6 | 73.0 ± 3.6 / 63.0 ± 3.6 | - | - |',
        '| new | 2 | 1.5 | 76.0 ± 7.1 / 66.0 ± 7.1 | 70.0 ± 14.1 / 60.0 ± 14.1 '
        '| +2.5 ± 2.1 / +2.5 ± 2.1 | -3.5 ± 9.2 / -3.5 ± 9.2 |',
        '| a\\|b | 1 | 1.5 | 72.0 ± - / 62.0 ± - | 72.0 ± - / 62.0 ± - '
        '| +0.0 ± - / +0.0 ± - | +0.0 ± - / +0.0 ± - |',
    ]
    assert report.table(summary).splitlines()[0].count('|') == 6


def test_no_pair_no_difference():
    results = [result('base', 0, 70.0), result('new', 1, 80.0)]
    summary = report.aggregate(results, ['base', 'new'], 'base')
    assert 'difference' not in summary['new']
    assert report.table(summary, 'base').endswith('| - | - |')
