"""Scores of a training, statistics over seeds and their table, by hand values."""

import json

import pytest
import run_report as report
import torch
from helpers import ROOT


def train_row(step, epoch, time=0.5):
    return {'loss': 1.0, 'time': time, 'step': step, 'epoch': epoch}


def val_row(epoch, score):
    return {name: score for name in report.SCORES} | {'step': epoch}


def write_rows(folder, name, *rows):
    path = folder / name / 'vis_data' / 'scalars.json'
    path.parent.mkdir(parents=True)
    path.write_text(''.join(json.dumps(row) + '\n' for row in rows))


def test_best_and_last_epoch_and_time(tmp_path):
    rows = [train_row(10, 1), train_row(20, 1), val_row(1, 50.0), train_row(40, 2, 2.0)]
    write_rows(tmp_path, '1', *rows, val_row(2, 40.0))
    found = report.summarize(tmp_path)
    assert (found['iterations'], found['epochs']) == (40, 2)
    assert found['training_minutes'] == round((20 * 0.5 + 20 * 2.0) / 60, 1)
    assert found['seconds_per_iteration'] == 1.25
    assert (found['best']['epoch'], found['best']['image/mDice']) == (1, 50.0)
    assert (found['last']['epoch'], found['last']['image/mDice']) == (2, 40.0)
    torch.save({'meta': {'iter': 44}}, tmp_path / 'epoch_2.pth')  # four more were not logged
    assert report.summarize(tmp_path)['iterations'] == 44


def test_a_resumed_run_replaces_what_it_repeats(tmp_path):
    rows = [train_row(10, 1), val_row(1, 10.0), train_row(20, 2), val_row(2, 5.0)]
    write_rows(tmp_path, '1', *rows, train_row(30, 3, 9.0))
    write_rows(tmp_path, '2', train_row(20, 2), val_row(2, 30.0))
    write_rows(tmp_path, '3_test', val_row(0, 99.0))
    found = report.read_rows(tmp_path)
    assert [row['step'] for row in found if 'loss' in row] == [10, 20]
    assert [row['image/mDice'] for row in found if 'loss' not in row] == [10.0, 30.0]


def test_a_folder_without_scores_is_named(tmp_path):
    write_rows(tmp_path, '1', train_row(10, 1))
    with pytest.raises(ValueError, match=f'{tmp_path} holds no validation scores'):
        report.summarize(tmp_path)


def result(label, seed, best, last=None):
    return {
        'label': label, 'seed': seed, 'parameters_m': 1.5, 'iterations': 8,
        'best': {'epoch': 1, 'image/mDice': best, 'image/mIoU': best - 10},
        'last': {'epoch': 2, 'image/mDice': last or best, 'image/mIoU': (last or best) - 10},
    }  # fmt: skip


RESULTS = [
    *(result('base', k, v) for k, v in enumerate((70.0, 72.0, 77.0))),
    result('new', 2, 81.0, 80.0),
    result('new', 0, 71.0, 60.0),
]


def table(runs, baseline, seeds=(0, 1, 2)):
    record = {'runs': runs, 'baseline': baseline, 'seeds': list(seeds)}
    return report.scores_table(record).splitlines()


def test_moments_by_hand():
    assert report.moments([70.0, 72.0, 77.0]) == {'mean': 73.0, 'std': 3.606}  # sqrt(26 / 2)
    assert report.moments([70.0]) == {'mean': 70.0, 'std': None}


def test_differences_are_paired_by_seed():
    summary = report.aggregate(RESULTS, 'base')
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
    rows = table([*RESULTS, result('a|b', 1, 71.98), result('c', 7, 1.0)], 'base')[2:]
    assert rows == [
        '| base | 3 | 1.5 | 73.0 ± 3.6 / 63.0 ± 3.6 | 73.0 ± 3.6 / 63.0 ± 3.6 | - | - |',
        '| new | 2 | 1.5 | 76.0 ± 7.1 / 66.0 ± 7.1 | 70.0 ± 14.1 / 60.0 ± 14.1 '
        '| +2.5 ± 2.1 / +2.5 ± 2.1 | -3.5 ± 9.2 / -3.5 ± 9.2 |',
        '| a\\|b | 1 | 1.5 | 72.0 ± - / 62.0 ± - | 72.0 ± - / 62.0 ± - '
        '| +0.0 ± - / +0.0 ± - | +0.0 ± - / +0.0 ± - |',
        '| c | 1 | 1.5 | 1.0 ± - / -9.0 ± - | 1.0 ± - / -9.0 ± - | - | - |',
    ]
    assert table(RESULTS, None)[0].count('|') == 6


def test_of_one_seed_the_table_has_the_scores_themselves():
    assert table([result('x', 0, 71.0, 60.0)], None, [0]) == [
        '| model | parameters (M) | iterations | best: mDice / mIoU | epoch | last: mDice / mIoU |',
        '| --- | --- | --- | --- | --- | --- |',
        '| x | 1.5 | 8 | 71.0 / 61.0 | 1 | 60.0 / 50.0 |',
    ]


def test_what_is_not_finished_is_named():
    states = [('x', 1, 'failed'), ('x', 2, 'failed'), ('y', 0, 'not finished')]
    unfinished = [dict(zip(('label', 'seed', 'state'), state, strict=True)) for state in states]
    record = {'runs': [], 'baseline': None, 'seeds': [0, 1, 2], 'unfinished': unfinished}
    assert report.markdown(record).endswith(
        '\n\nFailed: x (seeds 1, 2).\n\nNot finished: y (seed 0).'
    )


@pytest.mark.parametrize('name', ['kvasir-seg-96x96-ablation', 'kvasir-seg-160x160'])
def test_committed_tables_come_from_the_committed_results(name):
    folder = ROOT / 'docs' / 'results' / name
    record = json.loads((folder / 'ablation.json').read_text(encoding='utf-8'))
    rows = report.scores_table(record).splitlines()[2:]
    assert len(rows) >= 4
    page = (folder / 'README.md').read_text(encoding='utf-8')
    assert '\n'.join(rows) in page
    if len(record['seeds']) > 1:
        assert report.markdown(record) in page
        assert report.aggregate(record['runs'], record['baseline']) == record['summary']
    else:
        assert '\n'.join(rows) in (ROOT / 'README.md').read_text(encoding='utf-8')
