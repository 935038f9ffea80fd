"""The summary of runs, and README's table made from it."""

import json

import pytest
from helpers import ROOT, load_script

summarize_runs = load_script('tools/analysis_tools/summarize_runs.py')


def write_run(folder, name, rows):
    path = folder / name / 'vis_data' / 'scalars.json'
    path.parent.mkdir(parents=True)
    path.write_text(''.join(json.dumps(row) + '\n' for row in rows))


def train(step, epoch, time=0.5):
    return {'loss': 1.0, 'time': time, 'step': step, 'epoch': epoch}


def val(epoch, score):
    names = ('image/mDice', 'image/mIoU', 'image/mRecall', 'image/mPrecision')
    return {name: score for name in names} | {'step': epoch}


def test_best_and_last_epoch_and_time(tmp_path):
    write_run(
        tmp_path, '1', [train(10, 1), train(20, 1), val(1, 50.0), train(40, 2, 2.0), val(2, 40.0)]
    )
    summary = summarize_runs.summarize(tmp_path)
    assert (summary['iterations'], summary['epochs']) == (40, 2)
    assert summary['training_minutes'] == round((20 * 0.5 + 20 * 2.0) / 60, 1)
    assert (summary['best']['epoch'], summary['best']['image/mDice']) == (1, 50.0)
    assert (summary['last']['epoch'], summary['last']['image/mDice']) == (2, 40.0)


def test_a_resumed_run_replaces_what_it_repeats(tmp_path):
    write_run(tmp_path, '1', [train(10, 1), val(1, 10.0), train(20, 2), train(30, 3, 9.0)])
    write_run(tmp_path, '2', [train(20, 2), val(2, 30.0)])
    write_run(tmp_path, '3_test', [val(0, 99.0)])
    rows = summarize_runs.read_rows(tmp_path)
    assert [row['step'] for row in rows if 'loss' in row] == [10, 20]
    assert summarize_runs.summarize(tmp_path)['best']['image/mDice'] == 30.0


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(ValueError, match=r'holds no .*scalars.json'):
        summarize_runs.summarize(tmp_path)


@pytest.mark.parametrize('names', [[], ['a.py', 'b.py']])
def test_not_one_config_is_named(tmp_path, names, capsys):
    work_dir = tmp_path / 'run'
    write_run(work_dir, '1', [train(10, 1), val(1, 50.0)])
    for name in names:
        (work_dir / name).touch()
    with pytest.raises(SystemExit) as caught:
        summarize_runs.main([str(tmp_path / 'out.json'), f'x={work_dir}'])
    assert caught.value.code == 2
    expected = f'{work_dir} must hold one config (*.py), found {", ".join(names) or "none"}'
    assert expected in capsys.readouterr().err
    assert not (tmp_path / 'out.json').exists()


def test_the_one_config_is_found(tmp_path):
    (tmp_path / 'a.py').touch()
    (tmp_path / 'a.txt').touch()
    assert summarize_runs.find_config(tmp_path) == tmp_path / 'a.py'


def test_table_goes_between_the_markers():
    text = 'a\n<!-- results -->\nold\n<!-- /results -->\nb\n'
    new = summarize_runs.replace_table(text, 'new')
    assert new == 'a\n<!-- results -->\nnew\n<!-- /results -->\nb\n'
    with pytest.raises(ValueError, match='are missing'):
        summarize_runs.replace_table('a', 'new')


def test_readme_shows_the_committed_results():
    summary = json.loads((ROOT / 'docs/results/kvasir-seg-160x160/summary.json').read_text())
    assert len(summary['runs']) >= 2
    assert summarize_runs.table(summary) in (ROOT / 'README.md').read_text()
