"""The runs of the plan: which are made, what a finished one leaves, and real ones."""

import json
import shutil
from pathlib import Path

import cv2
import evidence
import evidence_runs
import numpy as np
import pytest
import run_queue
import torch
from dev_common import unaveraged
from evidence_runs import Planned
from helpers import ROOT
from run_files import compact

from condseg_mmseg.evaluation.score_file import read_scores
from condseg_mmseg.utils.errors import UserError

CONFIG = "test_evaluator = dict(type='PerImageBinaryMetric')\ntrain_cfg = dict(max_epochs=2)\n"
CSV = (
    'img_path,tp,fp,fn,tn,iou,dice,recall,precision,f2,accuracy,weighted_f,mae,object_recall,object_precision\n'
    'data/images/a.jpg,2,1,1,96,50.0,66.66666666666667,66.7,66.7,66.7,98.0,61.23456,0.98765,100.0,50.0\n'
    'data/images/b.jpg,0,0,0,100,100.0,100.0,,,,100.0,,0.0,,\n'
)
COMPACT = (
    'img_path,tp,fp,fn,tn,dice,iou,weighted_f,mae,object_recall,object_precision\n'
    'a,2,1,1,96,66.667,50.000,61.235,0.988,100.000,50.000\n'
    'b,0,0,0,100,100.000,100.000,,0.000,,\n'
)
RECORD = {'last': {'image/mDice': 81.234, 'image/mIoU': 72.0}, 'seconds_per_iteration': 2.5}


def trial(label, **options):
    return Planned('search', label, ('a.py',), options, 0)


@pytest.fixture
def planned(tmp_path, monkeypatch):
    """Three trials, in a current directory with the config a.py."""
    monkeypatch.chdir(tmp_path)
    Path('a.py').write_text(CONFIG)
    monkeypatch.setattr(evidence, 'check', lambda source, config: 1.5)
    runs = [trial('FPN: one'), trial('FPN: two', x=(1, 2)), trial('ConDSeg: one')]
    monkeypatch.setattr(evidence_runs, 'search_runs', lambda scores: runs)
    return runs


def make(part='search', **options):
    return evidence.Evidence(part, Path('out'), Path('here'), **options)


def finish(run):
    """Leave what the queue leaves."""
    run.folder.mkdir(parents=True, exist_ok=True)
    for scored in run.scored:
        (run.folder / scored.csv).write_text(CSV)
    record = {'label': run.label, 'seed': run.seed} | RECORD
    run.record.write_text(json.dumps(record))


@pytest.fixture
def queue(monkeypatch):
    """Finishes runs at once, but for those whose label is in the list that it gives."""
    failing = []

    def make(run, lock):
        if run.label not in failing:
            finish(run)
            return ''
        run.folder.mkdir(parents=True, exist_ok=True)
        run.failed.write_text('it broke\nmore')
        return 'it broke\nmore'

    monkeypatch.setattr(evidence, 'make', make)
    return failing


def test_a_compact_file_is_read_like_the_full_one(tmp_path):
    assert compact(CSV) == COMPACT
    path = tmp_path / 'x.csv'
    path.write_text(COMPACT)
    read = read_scores(path)
    assert list(read.scores) == ['dice', 'iou', *run_queue.EXTRA]
    assert read.pixels.tolist() == [[3, 100], [0, 100]]


def test_a_finished_run_leaves_its_files_and_is_not_repeated(planned, queue, capsys):
    queue.append('FPN: two')
    assert make().work() == 1
    folder = Path('here/docs/results/comparison/search')
    assert sorted(path.name for path in folder.iterdir()) == [
        f'{label}-one-seed0{ending}'
        for label in ('ConDSeg', 'FPN')
        for ending in ('.csv', '.json', '_best.csv', '_unaveraged.csv')
    ]
    assert (folder / 'FPN-one-seed0_best.csv').read_text() == COMPACT
    record = json.loads((folder / 'FPN-one-seed0.json').read_text())
    assert record == RECORD | {'label': 'FPN: one', 'seed': 0, 'configs': ['a.py'], 'options': {}}
    lines = capsys.readouterr().out.splitlines()
    assert lines[-3:] == [
        'FPN: one, seed 0                         '
        'finished: mDice 81.23, mIoU 72.00 (last epoch), 2.5 s per step',
        'FPN: two, seed 0                         failed: it broke',
        lines[-3].replace('FPN: one, seed 0    ', 'ConDSeg: one, seed 0'),
    ]
    shutil.rmtree('out')  # the state is lost, the files are there
    assert [str(run) for run in make().todo()] == ['FPN: two, seed 0']
    assert make().scores() == {'FPN: one': 83.33, 'ConDSeg: one': 83.33}  # of the CSV files


def test_a_run_that_was_not_published_yet_is_not_trained_again(planned):
    finish(make().run(planned[1]))
    assert [run.label for run in make().todo()] == ['FPN: one', 'ConDSeg: one']
    record = json.loads(Path('here/docs/results/comparison/search/FPN-two-seed0.json').read_text())
    assert record['options'] == {'x': [1, 2]}


def test_files_of_a_run_with_other_options_are_refused(planned):
    finish(make().run(planned[1]))
    make().todo()
    planned[1] = trial('FPN: two', x=(1, 3))
    with pytest.raises(UserError, match=r"FPN-two-seed0\.json .* other options: {'x': \[1, 2\]}"):
        make().todo()


def test_trials_that_the_scores_add_are_made_too(planned, queue, monkeypatch):
    more = [*planned, trial('U-Net: as FPN')]
    monkeypatch.setattr(
        evidence_runs, 'search_runs', lambda scores: more if len(scores) == 3 else planned
    )
    assert make().work() == 0
    assert len(make().scores()) == 4


def test_only_a_label_or_the_trials_of_a_method(planned):
    assert [run.label for run in make(only='FPN').todo()] == ['FPN: one', 'FPN: two']
    assert [run.label for run in make(only='FPN: two').todo()] == ['FPN: two']
    with pytest.raises(UserError, match='--only F: there are FPN: one, FPN: two, ConDSeg: one'):
        make(only='F').todo()


def test_numbers_that_are_not_finite_get_another_seed_once(planned):
    for seed, expected in ((0, 10), (10, 10)):
        folder = Path('out/search/FPN-one') / f'seed{seed}'
        folder.mkdir(parents=True)
        (folder / 'failed').write_text('of 3 parameters are not finite: x')
        assert [run.seed for run in make(only='FPN: one').planned()] == [expected]
        assert make(only='FPN: two').planned() == [planned[1]]


def test_states_of_runs_that_are_not_finished(planned):
    run = make().run(planned[0])
    saved = run.work_dir / 'epoch_3.pth'
    saved.parent.mkdir(parents=True)
    run.log.touch()
    saved.touch()
    assert make().describe().splitlines()[0].endswith(' interrupted: epoch_3.pth')
    with evidence.locked('out'):
        states = [line.split('seed 0')[1].strip() for line in make().describe().splitlines()]
    assert states == ['running: epoch_3.pth', 'waiting', 'waiting']


@pytest.mark.parametrize('part', ['table', 'minutes', 'ablation', 'lite2'])
def test_other_parts_need_the_search(tmp_path, part, capsys, monkeypatch):
    assert evidence.main([part, 'out', '--checkout', str(tmp_path), '--list']) == 2
    assert f'error: {part}: the recipe comes from the search, which is' in capsys.readouterr().err
    monkeypatch.setattr(
        evidence_runs, 'chosen', lambda scores: {label: {} for label in evidence_runs.METHODS}
    )
    if part != 'minutes':
        assert {run.part for run in make(part).planned()} == {part}


def test_equal_minutes_need_every_seed_of_every_baseline(tmp_path, monkeypatch):
    recipes = {label: {} for label in evidence_runs.METHODS}
    monkeypatch.setattr(evidence_runs, 'chosen', lambda scores: recipes)
    results = tmp_path / 'docs/results/comparison'
    (results / 'table').mkdir(parents=True)
    seconds = {configs[-1]: 1.0 for configs in evidence_runs.METHODS.values()}
    seconds[evidence_runs.METHODS['ConDSeg'][0]] = 2.642
    seconds[evidence_runs.METHODS['FPN'][0]] = 1.872
    (results / 'steps.json').write_text(json.dumps({'seconds': seconds}))
    head, row = COMPACT.splitlines()[:2]
    means = {'FPN': 90, 'U-Net': 80, 'U-Net++': 81, 'PraNet': 79, 'FCN head': 70}
    for label, mean in means.items():
        spread = 9 if label == 'U-Net' else 0  # its best seed is the best, its mean is not
        for seed, off in ((0, -spread), (11, 0), (2, spread)):
            stem = results / 'table' / f'{label}-seed{seed}'
            stem.with_name(f'{stem.name}.json').write_text(json.dumps(dict(label=label, seed=seed)))
            changed = row.replace('66.667', f'{mean + off}.000')
            stem.with_name(f'{stem.name}.csv').write_text(f'{head}\n{changed}\n')
    runs = evidence.Evidence('minutes', tmp_path / 'out', tmp_path).planned()
    # 12 * 2.642 / 1.872 = 16.94 and 12 * 2.642 / 1 = 31.70
    assert [(run.label, run.seed, dict(run.options)) for run in runs] == [
        ('FPN', 0, {'train_cfg.max_epochs': 17}), ('U-Net++', 0, {'train_cfg.max_epochs': 32}),
    ]  # fmt: skip
    (results / 'table/PraNet-seed11.json').unlink()
    with pytest.raises(
        UserError, match=r'^minutes: the table has fewer than 3 seeds of PraNet \(2'
    ):
        evidence.Evidence('minutes', tmp_path / 'out', tmp_path).planned()


def test_what_is_handed_over_and_scored(planned):
    run = make().run(planned[0])
    assert [(scored.csv, scored.checkpoint) for scored in run.scored] == [
        ('scores.csv', 'last'), ('scores_best.csv', 'best'),
        ('scores_unaveraged.csv', 'unaveraged'),
    ]  # fmt: skip
    run = make().run(planned[0]._replace(part='table', configs=('a.py', 'a.py')))
    assert run.scored[2:] == [
        ('scores_unseen.csv', 'last', evidence_runs.UNSEEN),
        ('scores_polyp_free.csv', 'last', evidence_runs.POLYP_FREE),
        ('scores_light.csv', 'last', evidence_runs.LIGHT),
    ]
    command = run_queue.train_command(run.files, run.work_dir)
    assert command[-3:] == ['--resume', '--hand-over', 'last']


def test_weights_beside_their_average(tmp_path):
    content = {
        'meta': {'epoch': 1}, 'state_dict': {'a': torch.tensor(1.0)},
        'ema_state_dict': {'steps': torch.tensor(7), 'module.a': torch.tensor(2.0)},
    }  # fmt: skip
    torch.save(content, tmp_path / 'x.pth')
    written = torch.load(unaveraged(tmp_path / 'x.pth', tmp_path / 'new' / 'y.pth'))
    assert written == {'meta': {'epoch': 1}, 'state_dict': {'a': torch.tensor(2.0)}}
    del content['ema_state_dict']
    torch.save(content, tmp_path / 'x.pth')
    with pytest.raises(ValueError, match='no average'):
        unaveraged(tmp_path / 'x.pth', tmp_path / 'y.pth')


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Configs of both stages on sixteen images of noise with a square, and four others."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for i in range(20):
        mask = np.zeros((64, 64), np.uint8)
        mask[i : i + 30, 10:40] = 255
        image = (mask[..., None] // 2 + rng.integers(0, 60, (64, 64, 3))).astype(np.uint8)
        for kind, picture in (('images', image), ('masks', mask)):
            (tmp_path / 'data' / kind).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(f'data/{kind}/{i}.png', picture)
    for name, numbers in dict(train=range(16), val=range(16, 20), unseen=range(2)).items():
        Path(f'data/{name}.txt').write_text('\n'.join(map(str, numbers)))
    rest = """
loader = dict(dataset=dict(data_root='data'), num_workers=0, persistent_workers=False)
train_dataloader = val_dataloader = loader
test_dataloader = dict(loader, dataset=dict(data_root='data', ann_file='val.txt'))
model = dict(data_preprocessor=dict(size=(64, 64)))
train_cfg = dict(max_epochs=2)
custom_hooks = [dict(type='EMAHook', momentum=0.5)]
"""
    for name, base in dict(s1='condseg-stage1_r18_1xb8-3e', s2='condseg_r18_1xb8-4e').items():
        base = ROOT / 'configs' / 'condseg' / f'{base}_demo-96x96.py'
        Path(f'{name}.py').write_text(f'_base_ = [{str(base)!r}]\n{rest}')
    unseen = {'test_dataloader.dataset.ann_file': 'unseen.txt'}
    monkeypatch.setattr(evidence, 'UNSEEN', unseen)
    for name, folder in (('POLYP_FREE', 'crops'), ('LIGHT', 'light')):
        options = {evidence.ROOT_KEY: folder, 'test_dataloader.dataset.ann_file': 'all.txt'}
        monkeypatch.setattr(evidence, name, options)
    monkeypatch.setattr(evidence, 'MADE', {'crops': evidence.cut, 'light': evidence.relight_all})
    Path('kvasir-seg').symlink_to('data')
    monkeypatch.setattr(evidence_runs, 'chosen', lambda scores: {})
    monkeypatch.setattr(
        evidence_runs, 'table_runs', lambda _: [Planned('table', 'T', ('s1.py', 's2.py'), {}, 1)]
    )
    monkeypatch.setattr(
        evidence_runs, 'search_runs', lambda _: [Planned('search', 'S', ('s2.py',), {}, 0)]
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_real_runs(small):
    for part in ('search', 'table'):
        assert evidence.main([part, 'out', '--checkout', '.']) == 0
    results = Path('docs/results/comparison')
    trained = json.loads(Path('out/table/T/seed1/train/two_stages.json').read_text())
    assert trained['hand_over'] == 'last'
    for name, images in {
        'search/S-seed0': 4, 'search/S-seed0_unaveraged': 4, 'search/S-seed0_best': 4,
        'table/T-seed1': 4, 'table/T-seed1_best': 4, 'table/T-seed1_unseen': 2,
        'table/T-seed1_polyp_free': 4, 'table/T-seed1_light': 4,
    }.items():  # fmt: skip
        scores = read_scores(results / f'{name}.csv').scores
        assert {len(values) for values in scores.values()} == {images}
        stem, _, kind = name.partition('_')
        record = json.loads((results / f'{stem}.json').read_text())
        expected = record['best' if kind == 'best' else 'last']['image/mDice']
        if kind in ('', 'best'):
            assert scores['dice'].mean() == pytest.approx(expected, abs=0.006)
    last, other = (
        read_scores(results / f'search/S-seed0{kind}.csv').scores['mae']
        for kind in ('', '_unaveraged')
    )
    assert (last != other).all()
    light, last = (read_scores(results / f'table/T-seed1{kind}.csv') for kind in ('_light', ''))
    assert light.names == last.names
    assert (light.scores['mae'] != last.scores['mae']).all()
    assert evidence.main(['table', 'out', '--checkout', '.']) == 0
    assert json.loads(Path('out/table/T/seed1/train/two_stages.json').read_text()) == trained
