"""The demo: a smoke run of all steps, and how it ends when a step or the score fails."""

import argparse
import csv
import json
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from helpers import ROOT, load_script
from mmengine.config import DictAction

sys.path.insert(0, str(ROOT / 'tools'))  # demo.py imports what lies beside it

SCRIPT = ROOT / 'tools' / 'demo.py'


@pytest.fixture
def demo():
    return load_script('tools/demo.py')


def _scores(dice):
    names = ('mDice', 'mIoU', 'mRecall', 'mPrecision')
    return {f'image/{name}': dice for name in names}


@pytest.fixture
def fake_steps(demo, monkeypatch):
    """Replace the steps by what they leave behind; returns their command lines."""
    calls = []

    def run(title, log, script, *args):
        args = [str(arg) for arg in args]
        calls.append([script, *args])
        work = log.parent
        if script.endswith('make_demo_dataset.py'):
            (work / 'set').mkdir(exist_ok=True)
            record = dict(brightness_baseline=dict(mDice=dict(val=0.25, test=0.125)))
            (work / 'set' / 'dataset.json').write_text(json.dumps(record))
        elif script == 'tools/train_two_stages.py':
            stages = dict(
                stage1=dict(last_file='epoch_3.pth'), stage2=dict(last_file='epoch_4.pth')
            )
            (work / 'train').mkdir()
            (work / 'train' / 'two_stages.json').write_text(json.dumps(dict(stages=stages)))
        elif script == 'tools/test.py':
            split = log.stem.removeprefix('test_')
            for stamp, dice in (('20260101_000000', 1.0), ('20260101_000001', 79.96)):
                folder = work / f'test_{split}' / stamp
                folder.mkdir(parents=True, exist_ok=True)
                value = dice if split == 'val' else 60.5
                (folder / f'{stamp}.json').write_text(json.dumps(_scores(value)))

    monkeypatch.setattr(demo, 'run', run)
    return calls


def _main(demo, tmp_path, *args):
    return demo.main(['--work-dir', str(tmp_path), '--data', str(tmp_path / 'set'), *args])


def test_steps_scores_and_paths(demo, fake_steps, tmp_path, capsys):
    assert _main(demo, tmp_path, '--min-dice', '79') == 0
    scripts = [call[0] for call in fake_steps]
    sheet = 'tools/analysis_tools/contact_sheet.py'
    train = 'tools/train_two_stages.py'
    assert scripts[1:] == [train, 'tools/test.py', sheet, 'tools/test.py', sheet]
    assert fake_steps[1][1:5] == [demo.STAGE1, demo.STAGE2, '--work-dir', f'{tmp_path}/train']
    data_root = f'train_dataloader.dataset.data_root={tmp_path}/set'
    assert fake_steps[1].count(data_root) == 2  # for both stages
    assert fake_steps[2][1:3] == [demo.STAGE2, f'{tmp_path}/train/stage2/epoch_4.pth']
    assert 'test_dataloader.dataset.ann_file=val.txt' in fake_steps[2]
    assert 'test_dataloader.dataset.ann_file=test.txt' in fake_steps[4]
    lines = capsys.readouterr().out.splitlines()
    rows = {line.rsplit(maxsplit=2)[0].strip(): line.split()[-2:] for line in lines if line}
    assert rows['ConDSeg mDice'] == ['80.0', '60.5']
    assert rows['best brightness threshold, mDice'] == ['25.0', '12.5']
    for split in ('val', 'test'):
        assert any(line.endswith(f'{tmp_path}/contact_sheet_{split}.png') for line in lines)
    record = json.loads((tmp_path / 'scores.json').read_text())
    assert record['scores']['val']['image/mDice'] == 79.96  # of the newest test, not of the first
    assert record['configs'] == [demo.STAGE1, demo.STAGE2]
    assert any(line.endswith(f'{tmp_path}/train/two_stages.json') for line in lines)


def test_an_earlier_demo_is_trained_anew(demo, fake_steps, tmp_path):
    assert _main(demo, tmp_path, '--min-dice', '79') == 0
    (tmp_path / 'train' / 'stage2').mkdir()
    assert _main(demo, tmp_path, '--min-dice', '79') == 0
    assert [path.name for path in (tmp_path / 'train').iterdir()] == ['two_stages.json']


def test_the_configs_of_the_demo_are_shipped(demo):
    assert (ROOT / demo.STAGE1).is_file()
    assert (ROOT / demo.STAGE2).is_file()


def test_a_low_score_is_a_failure_that_says_so(demo, fake_steps, tmp_path, capsys):
    assert _main(demo, tmp_path) == 1  # 79.96, which the table rounds to 80.0
    captured = capsys.readouterr()
    assert 'ConDSeg mDice' in captured.out
    assert 'below 80' in captured.err


def test_quick_has_no_bar(demo, fake_steps, tmp_path):
    assert _main(demo, tmp_path, '--quick') == 0
    assert fake_steps[1].count('train_cfg.max_epochs=1') == 2


def test_a_failing_step_shows_the_end_of_its_output(demo, tmp_path, capsys):
    (tmp_path / 'set').mkdir()
    (tmp_path / 'set' / 'mine.txt').write_text('not a generated set')
    assert _main(demo, tmp_path) == 1
    error = capsys.readouterr().err
    assert 'make_demo_dataset.py' in error
    assert 'not made by this tool' in error
    assert (tmp_path / 'set' / 'mine.txt').exists()


def test_progress_lines_are_short(demo):
    line = (
        '11/22 20:03:15 - mmengine - INFO - Epoch(train)  [1][40/40]  base_lr: 1.9543e-03 '
        'lr: 1.9543e-03  eta: 0:14:01  time: 2.4861  loss: 4.6216  decode.loss_mask: 1.4714  '
        'decode.dice: 0.5000  aux.loss_fg: 1.4888'
    )
    assert demo.PROGRESS.search(line)
    short = 'Epoch(train)  [1][40/40]  eta: 0:14:01  loss: 4.6216  decode.dice: 0.5000'
    assert demo.shorten(line) == short


def test_messages_of_the_training_are_shown(demo, spaced, tmp_path, capsys):
    script = spaced / 'tools' / 'talk.py'
    script.write_text('print("== stage 1: from epoch_2.pth"); print("other")')
    demo.run('talk', tmp_path / 'log', 'tools/talk.py')
    assert '\n   stage 1: from epoch_2.pth\n' in capsys.readouterr().out
    assert 'other' in (tmp_path / 'log').read_text()


def _as_mmengine_reads(option: str):
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    return parser.parse_args(['--cfg-options', option]).cfg_options


@pytest.fixture
def spaced(demo, monkeypatch, tmp_path) -> Path:
    """A checkout whose path holds a space and a comma."""
    root = tmp_path / 'a b, c'
    (root / 'tools').mkdir(parents=True)
    monkeypatch.setattr(demo, 'ROOT', root)
    return root


def test_paths_below_a_root_with_a_space_reach_mmengine(demo, spaced, tmp_path):
    assert _as_mmengine_reads(demo.option('key', spaced / 'data' / 'demo')) == {'key': 'data/demo'}
    outside = str(tmp_path / 'elsewhere')
    assert _as_mmengine_reads(demo.option('key', Path(outside))) == {'key': outside}


@pytest.mark.parametrize('name', ['a b', 'a,b', "b'"])
def test_paths_that_mmengine_would_change_are_refused(demo, tmp_path, name, capsys):
    path = tmp_path / name
    assert _as_mmengine_reads(f'key={path}') != {'key': str(path)}
    with pytest.raises(ValueError, match='a space, a comma, a quotation mark or a bracket'):
        demo.option('key', path)
    for flag in ('--data', '--work-dir'):
        with pytest.raises(SystemExit):
            demo.main([flag, str(path)])
        assert str(path) in capsys.readouterr().err
    assert not path.exists()


def test_every_step_gets_paths_from_the_root(demo, spaced, fake_steps, capsys):
    assert demo.main(['--work-dir', str(spaced / 'set'), '--data', str(spaced / 'set/set')]) == 1
    options = [arg for call in fake_steps for arg in call if '=' in arg]
    assert 'train_dataloader.dataset.data_root=set/set' in options
    assert 'test_evaluator.0.csv_path=set/test_val/images.csv' in options
    assert not [option for option in options if ' ' in option]


def test_a_step_runs_in_the_root_with_short_paths(demo, spaced, tmp_path):
    script = spaced / 'tools' / 'echo.py'
    script.write_text('import os, sys; print(os.getcwd(), *sys.argv[1:], sep="|")')
    log = tmp_path / 'log'
    demo.run('echo', log, 'tools/echo.py', '--out', spaced / 'data', tmp_path / 'x y', 'k=v')
    assert log.read_text() == f'{spaced}|--out|data|{tmp_path}/x y|k=v\n'


def test_defaults_lie_in_the_checkout_or_the_current_directory(demo, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    args = demo.parse_args([])
    assert (args.data, args.work_dir) == (ROOT / 'data' / 'demo', ROOT / 'work_dirs' / 'demo')
    monkeypatch.setattr(demo, 'ROOT', tmp_path / 'site-packages' / 'condseg_mmseg' / '.mim')
    args = demo.parse_args([])
    assert (args.data, args.work_dir) == (
        tmp_path / 'data' / 'demo',
        tmp_path / 'work_dirs' / 'demo',
    )
    assert demo.parse_args(['--quick']).data == tmp_path / 'work_dirs' / 'demo' / 'data'


@pytest.mark.slow
def test_quick_demo_from_another_directory(tmp_path):
    work = tmp_path / 'work'
    result = subprocess.run(
        [sys.executable, str(SCRIPT), '--quick', '--work-dir', str(work)],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    assert 'best brightness threshold, mDice' in result.stdout
    assert sorted(p.name for p in tmp_path.iterdir()) == ['work']  # nothing beside --work-dir
    scores = json.loads((work / 'scores.json').read_text())['scores']
    for split in ('val', 'test'):
        assert str(work / f'contact_sheet_{split}.png') in result.stdout
        assert cv2.imread(str(work / f'contact_sheet_{split}.png')).shape[0] == 30 + 4 * 148
        with (work / f'test_{split}' / 'images.csv').open() as file:
            rows = list(csv.DictReader(file))
        assert {row['img_path'].split('/')[-1].split('_')[0] for row in rows} == {split}
        mean = sum(float(row['dice']) for row in rows) / len(rows)
        assert scores[split]['image/mDice'] == pytest.approx(mean, abs=1e-3)
