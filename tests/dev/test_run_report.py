"""Scores and time of a training, by hand values."""

import json

import pytest
import run_report as report
import torch


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
