"""The ablation as a whole, with a script in place of training: order, repetition, two stages."""

import importlib
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
from helpers import ROOT
from mmengine.config import Config

TOOLS = ROOT / 'tools' / 'analysis_tools'
sys.path.insert(0, str(TOOLS))
ablate = importlib.import_module('ablate')
checks = importlib.import_module('_ablation_checks')
report = importlib.import_module('_ablation_report')
runs = importlib.import_module('_ablation_runs')

# Stands for tools/train.py: notes how it was called, and leaves the scores asked for.
FAKE = """
import json, os, sys, time, zipfile
from pathlib import Path

config, work = Path(sys.argv[1]), Path(sys.argv[sys.argv.index('--work-dir') + 1])
name = f'{work.parent.name}/{work.name}'
out = next(p for p in work.parents if (p / 'ablation.json').exists())
record = json.loads((out / 'ablation.json').read_text())
call = dict(
    name=name, resume='--resume' in sys.argv, finished=len(record['runs']), pid=os.getpid(),
    cores=sorted(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else None,
    threads=os.environ['OMP_NUM_THREADS'], wait=os.environ['OMP_WAIT_POLICY'],
    locked=sys.platform != 'linux' or str(out.resolve() / '.lock')
    in map(os.path.realpath, Path('/proc/self/fd').glob('*')),
)
with (out / 'calls').open('a') as file:
    file.write(json.dumps(call) + '\\n')
orders = json.loads((out.parent / 'orders.json').read_text())
time.sleep({'wait': 60, 'slow': 0.7}.get(str(orders.get(name)), 0))
print('the last words of', name)
if orders.get(name) == 'fail':
    sys.exit(3)
rows = [dict(loss=1.0, time=0.5, step=1, epoch=1), dict(loss=1.0, time=0.5, step=2, epoch=2)]
if orders.get(name) != 'no scores':
    scores = orders.get(name)
    for epoch, score in enumerate(scores if isinstance(scores, list) else [50.0, 40.0], 1):
        with zipfile.ZipFile(work / f'best_x_epoch_{epoch}.pth', 'w') as file:
            file.writestr('data', '')
        names = ('mDice', 'mIoU', 'mRecall', 'mPrecision')
        rows.append({f'image/{n}': score for n in names} | {'step': epoch})
folder = work / f'{len(list(work.iterdir()))}' / 'vis_data'
folder.mkdir(parents=True)
(folder / 'scalars.json').write_text(''.join(json.dumps(row) + '\\n' for row in rows))
"""


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Train a.py, b.py and s1.py by FAKE; call it with what the runs are to do."""
    monkeypatch.chdir(tmp_path)
    folder, script = tmp_path, tmp_path / 'fake_train.py'
    script.write_text(FAKE)
    for i, name in enumerate(('a', 'b', 's1')):
        (folder / f'{name}.py').write_text(
            f'model = dict(type="M{i}", backbone=dict(type="B", init_cfg=None))\n'
            'train_cfg = dict(max_epochs=2)\noptim_wrapper = dict(type="OptimWrapper")\n'
        )
    # configs that nothing builds, so that the tests are quick
    monkeypatch.setattr(checks.Checker, '__call__', lambda self, path, config: (1.5, 2, {}))
    monkeypatch.setattr(runs, 'TRAIN', (sys.executable, str(script)))
    monkeypatch.delenv('OMP_WAIT_POLICY', raising=False)
    (folder / 'orders.json').write_text('{}')

    def orders(**given) -> None:
        names = {name.replace('__', '/'): order for name, order in given.items()}
        (folder / 'orders.json').write_text(json.dumps(names))

    return orders


def main(*args):
    return ablate.main(['out', *map(str, args)])


def calls(folder):
    path = folder / 'out' / 'calls'
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def record(folder):
    return json.loads((folder / 'out' / 'ablation.json').read_text())


# ---- order, results, repetition


def test_seeds_are_interleaved():
    assert ablate.order(['a', 'b'], [3, 1]) == [('a', 3), ('b', 3), ('a', 1), ('b', 1)]


def test_results_grow_and_finished_runs_are_not_repeated(tmp_path, fake, capsys):
    fake(a__seed0=[50.0, 40.0], b__seed0=[52.0, 48.0], a__seed1=[60.0, 60.0], b__seed1=[66.0, 64.0])
    page = tmp_path / 'page.md'
    page.write_text('x\n<!-- ablation -->\nold\n<!-- /ablation -->\ny\n')
    command = ('a=a.py', 'b=b.py', '--seeds', 0, 1, '--baseline', 'a', '--markdown', 'page.md')
    assert main(*command) == 0
    made = calls(tmp_path)
    assert [call['name'] for call in made] == ['a/seed0', 'b/seed0', 'a/seed1', 'b/seed1']
    assert [call['finished'] for call in made] == [0, 1, 2, 3]  # written after every run
    assert not any(call['resume'] for call in made)
    assert {call['wait'] for call in made} == {'passive'}
    assert all(call['locked'] for call in made)  # holds the folder if we are killed
    best = [path.name for path in sorted((tmp_path / 'out').glob('*/seed0/best*'))]
    assert best == ['best_x_epoch_1.pth'] * 2
    found = record(tmp_path)
    scores = {(r['label'], r['seed']): r['best']['image/mDice'] for r in found['runs']}
    assert scores == {('a', 0): 50.0, ('b', 0): 52.0, ('a', 1): 60.0, ('b', 1): 66.0}
    assert found['summary']['b']['difference']['best']['image/mDice'] == {'mean': 4.0, 'std': 2.828}
    run = found['runs'][0]
    assert (run['config'], run['epochs'], run['iterations']) == ('a.py', 2, 4)  # logged: 2
    assert run['parameters_m'] == 1.5
    assert run['environment']['torch']
    for seed in (0, 1):
        assert Config.fromfile(tmp_path / 'out' / 'a' / f'seed{seed}.py').randomness.seed == seed
    text = page.read_text()
    table = (tmp_path / 'out' / 'ablation.md').read_text()
    assert text == f'x\n<!-- ablation -->\n{table}<!-- /ablation -->\ny\n'
    assert '+4.0 ± 2.8 / +4.0 ± 2.8 | +6.0 ± 2.8' in table
    assert 'seeds 0, 1' in table
    assert '4 to go' not in capsys.readouterr().out
    assert main(*command) == 0
    assert len(calls(tmp_path)) == 4
    assert record(tmp_path)['runs'] == found['runs']


def test_a_failed_run_lets_the_others_go_on_and_is_resumed(tmp_path, fake, capsys):
    fake(a__seed0='fail', a__seed1='fail', b__seed0='no scores')
    command = ('a=a.py', 'b=b.py', '--seeds', 0, 1)
    assert main(*command) == 1
    captured = capsys.readouterr()
    assert 'a, seed 0: failed: ended with status 3' in captured.err
    assert '  the last words of a/seed0' in captured.err
    assert 'b, seed 0: failed: ValueError: ' in captured.err
    assert 'holds no validation scores' in captured.err
    assert len(calls(tmp_path)) == 4
    assert [run['seed'] for run in record(tmp_path)['runs']] == [1]
    assert {run['state'] for run in record(tmp_path)['unfinished']} == {'failed'}
    assert 'Failed: a (seeds 0, 1), b (seed 0).' in captured.out

    fake()
    with pytest.raises(SystemExit):
        main(*command)
    assert 'a, seed 0: out/a/seed0 holds a run that was not finished; add --resume' in (
        capsys.readouterr().err
    )
    assert main(*command, '--resume') == 0
    assert [(c['name'], c['resume']) for c in calls(tmp_path)[4:]] == [
        ('a/seed0', True),
        ('b/seed0', True),
        ('a/seed1', True),
    ]
    assert len(record(tmp_path)['runs']) == 4
    assert record(tmp_path)['unfinished'] == []


def test_a_page_that_loses_its_markers_stops_no_training(tmp_path, fake, monkeypatch, capsys):
    page = tmp_path / 'page.md'
    page.write_text('<!-- ablation --><!-- /ablation -->')

    def gone(path, text):
        report.write(path, 'gone' if path.name == 'page.md' else text)

    monkeypatch.setattr(ablate, 'write', gone)
    assert main('a=a.py', '--seeds', 0, 1, '--markdown', 'page.md') == 1
    assert len(record(tmp_path)['runs']) == 2
    assert '--markdown page.md: the lines <!-- ablation -->' in capsys.readouterr().err


def test_results_that_cannot_be_written_end_it(tmp_path, fake, monkeypatch):
    def full(path, text):
        if path.name == 'ablation.md' and calls(tmp_path):
            raise OSError('no space left')
        report.write(path, text)

    monkeypatch.setattr(ablate, 'write', full)
    with pytest.raises(OSError, match='no space left'):
        main('a=a.py', '--seeds', 0, 1)
    assert len(calls(tmp_path)) == 1


def test_another_config_is_refused_and_the_difference_named(tmp_path, fake, capsys):
    main('a=a.py', '--seeds', 0)
    (tmp_path / 'a.py').write_text((tmp_path / 'a.py').read_text() + 'optim_wrapper["foo"] = 3\n')
    for more in ([], ['--resume']):
        with pytest.raises(SystemExit):
            main('a=a.py', '--seeds', 0, *more, '--cfg-options', 'train_cfg.max_epochs=5')
        error = capsys.readouterr().err
        assert 'a, seed 0: out/a holds a run of another config' in error
        assert 'train_cfg.max_epochs: 2 -> 5' in error
        assert "optim_wrapper.foo: 'absent' -> 3" in error
    assert len(calls(tmp_path)) == 1
    assert ablate.main([str(tmp_path / 'out'), 'a=b.py', '--seeds', '1']) == 0  # another run


def test_later_edits_of_a_config_change_no_run(tmp_path, fake):
    main('a=a.py', '--seeds', 0, '--cfg-options', 'optim_wrapper.clip_grad.max_norm=2.5')
    (tmp_path / 'a.py').unlink()
    trained = Config.fromfile(tmp_path / 'out' / 'a' / 'seed0.py')
    assert trained.optim_wrapper.clip_grad.max_norm == 2.5
    assert trained.model.type == 'M0'


# ---- two stages


def test_stage_1_is_trained_once_a_seed_and_shared(tmp_path, fake):
    (tmp_path / 'c.py').write_text(
        (tmp_path / 'a.py').read_text()
        + 'model["backbone"]["init_cfg"] = dict(type="StrictPretrained",'
        ' checkpoint="elsewhere", buffers=False)\n'
    )
    command = ('one=a.py', 'two=b.py', 'also two=c.py', '--stage1', 'two=s1.py', 'also two=./s1.py')
    assert main(*command, '--seeds', 0, 1) == 0
    names = [call['name'] for call in calls(tmp_path)]
    assert names[:4] == ['one/seed0', 's1/seed0', 'two/seed0', 'also-two/seed0']
    assert names[4:] == [name.replace('0', '1') for name in names[:4]]
    out = Path('out')
    expected = dict(type='StrictPretrained', checkpoint='out/_stage1/s1/seed1', prefix='backbone.')
    for label, more in (('two', {}), ('also-two', {'buffers': False})):
        config = Config.fromfile(out / label / 'seed1.py')
        assert config.model.backbone.init_cfg == expected | more
    assert Config.fromfile(out / 'one' / 'seed1.py').model.backbone.init_cfg is None
    found = record(tmp_path)
    assert [(run['label'], run['seed']) for run in found['stage1']] == [('s1', 0), ('s1', 1)]
    assert list(found['summary']) == ['one', 'two', 'also two']
    assert [run['stage1'] for run in found['runs'][:2]] == [None, 's1']


def test_a_second_stage_waits_for_its_first_and_lets_others_pass(tmp_path, fake, monkeypatch):
    cores = sorted(os.sched_getaffinity(0))[:1] if hasattr(os, 'sched_getaffinity') else [0]
    monkeypatch.setattr(ablate, 'shares', lambda jobs: [cores] * jobs)
    fake(s1__seed0='slow')
    assert main('b=b.py', 'a=a.py', '--stage1', 'b=s1.py', '--seeds', 0, '--jobs', 2) == 0
    names = [call['name'] for call in calls(tmp_path)]
    assert sorted(names[:2]) == ['a/seed0', 's1/seed0']
    assert names[2] == 'b/seed0'


def test_what_needs_a_failed_stage_1_is_not_started(tmp_path, fake, capsys):
    fake(s1__seed0='fail')
    assert main('a=a.py', 'b=b.py', '--stage1', 'b=s1.py', '--seeds', 0, 1) == 1
    names = [call['name'] for call in calls(tmp_path)]
    assert names == ['a/seed0', 's1/seed0', 'a/seed1', 's1/seed1', 'b/seed1']
    assert 'b, seed 0: failed: not started, as its stage 1 failed' in capsys.readouterr().err
    fake()
    assert main('a=a.py', 'b=b.py', '--stage1', 'b=s1.py', '--seeds', 0, 1, '--resume') == 0
    assert [(c['name'], c['resume']) for c in calls(tmp_path)[5:]] == [
        ('s1/seed0', True),
        ('b/seed0', False),
    ]


# ---- cores and signals


def test_two_jobs_run_on_cores_of_their_own(tmp_path, fake, monkeypatch):
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else []
    if len(cores) < 2:
        pytest.skip('needs two cores')
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    assert main('a=a.py', 'b=b.py', '--seeds', 0, 1, '--jobs', 2) == 0
    made = calls(tmp_path)
    half = len(cores) // 2
    assert {tuple(c['cores']) for c in made} <= {tuple(cores[:half]), tuple(cores[half : 2 * half])}
    assert {c['threads'] for c in made} == {str(half)}
    assert sorted(os.sched_getaffinity(0)) == cores  # ours are as they were
    assert len(record(tmp_path)['runs']) == 4


def _alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_signal_ends_the_training_too_and_it_can_be_resumed(tmp_path, fake):
    fake(a__seed0='wait')

    def kill():
        while not calls(tmp_path):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    threading.Thread(target=kill, daemon=True).start()
    with pytest.raises(SystemExit) as caught:
        main('a=a.py', '--seeds', 0)
    assert caught.value.code == 143
    assert signal.getsignal(signal.SIGTERM) == before
    assert not _alive(calls(tmp_path)[0]['pid'])
    assert not (tmp_path / 'out' / 'a' / 'seed0' / 'done.json').exists()
    fake()
    assert main('a=a.py', '--seeds', 0, '--resume') == 0
    assert [call['resume'] for call in calls(tmp_path)] == [False, True]
