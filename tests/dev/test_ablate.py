"""The ablation's command line: what is refused before it starts, order, and a real one."""

import json
import subprocess
import sys
from pathlib import Path

import ablate
import cv2
import numpy as np
import pytest
from helpers import ROOT

TOOL = ROOT / 'tools' / 'dev' / 'ablate.py'
CONFIGS = ROOT / 'configs' / 'condseg'
STAGE1, STAGE2 = (
    next(CONFIGS.glob(f'{name}_r18_*_demo-96x96.py')) for name in ('condseg-stage1', 'condseg')
)


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    """Sixteen images to train, four to validate; of noise, with a square."""
    folder = tmp_path_factory.mktemp('ablate') / 'data'
    rng = np.random.default_rng(0)
    for kind in ('images', 'masks'):
        (folder / kind).mkdir(parents=True)
    for i in range(20):
        mask = np.zeros((64, 64), np.uint8)
        mask[i : i + 30, 10:40] = 255
        image = (mask[..., None] // 2 + rng.integers(0, 60, (64, 64, 3))).astype(np.uint8)
        cv2.imwrite(str(folder / 'images' / f'{i}.png'), image)
        cv2.imwrite(str(folder / 'masks' / f'{i}.png'), mask)
    (folder / 'train.txt').write_text('\n'.join(map(str, range(16))))
    for name in ('val', 'test'):
        (folder / f'{name}.txt').write_text('\n'.join(map(str, range(16, 20))))
    return folder


@pytest.fixture
def folder(tmp_path, data, monkeypatch) -> Path:
    """The current directory, with configs a.py and s1.py."""
    monkeypatch.chdir(tmp_path)
    loader = f'dict(dataset=dict(data_root={str(data)!r}), num_workers=0, persistent_workers=False)'
    rest = ''.join(f'{name}_dataloader = {loader}\n' for name in ('train', 'val', 'test'))
    rest += 'model = dict(data_preprocessor=dict(size=(64, 64)))\n'
    for name, base in dict(a=STAGE2, s1=STAGE1).items():
        (tmp_path / f'{name}.py').write_text(f'_base_ = [{str(base)!r}]\n{rest}')
    (tmp_path / 'page.md').write_text('<!-- ablation -->\nold\n<!-- /ablation -->\n')
    return tmp_path


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        ('a.py', 'a.py: expected LABEL=CONFIG'),
        ('a=no.py', 'no.py is neither a file nor a shipped config'),
        ('a=a.py a=s1.py', "a=s1.py: the label 'a' has the same folder"),
        ('x/y=a.py X-y=s1.py', "X-y=s1.py: the label 'x/y' has the same folder"),
        ('a=a.py --seeds 0 0', '--seeds [0, 0]: each once'),
        ('a=a.py --seeds -1', '--seeds [-1]: each once, from 0'),
        ('a=a.py --baseline b', '--baseline b: no such label; there are a'),
        ('a=a.py --stage1 b=a.py', '--stage1 b: no such label'),
        ('a=a.py --markdown a.py', '--markdown a.py: the lines <!-- ablation -->'),
        ('a=a.py --markdown no.md', '--markdown no.md: [Errno 2]'),
        ('a=a.py --jobs 9999', '--jobs 9999: choose 1 to'),
        ('', 'OUT_DIR out holds no results'),
    ],
)
def test_wrong_arguments_are_named(folder, monkeypatch, args, message, capsys):
    monkeypatch.setattr(ablate, 'check', lambda source, config: 1.5)  # is tested below
    assert ablate.main(['out', *args.split()]) == 2
    assert message in capsys.readouterr().err
    assert not list(folder.glob('out/*/*'))


@pytest.mark.parametrize(
    ('more', 'message'),
    [
        ('x = (', 'c.py cannot be read as a config: '),
        ('model["neck"] = dict(num_heads=5)', 'c.py cannot be built: '),
        ('val_dataloader["dataset"]["ann_file"] = "no.txt"', 'no such list'),
        ('del test_dataloader', 'c.py cannot be built: '),
    ],
)
def test_wrong_configs_are_named_before_any_run(folder, more, message, capsys):
    (folder / 'c.py').write_text((folder / 'a.py').read_text() + more + '\n')
    assert ablate.main(['out', 'c=c.py']) == 2
    assert message in capsys.readouterr().err
    assert not (folder / 'out').exists()


def test_an_output_that_is_a_config_is_refused(folder, capsys):
    (folder / 'out').mkdir()
    (folder / 'a.py').rename(folder / 'out' / 'ablation.json')
    assert ablate.main(['out', 'x=out/ablation.json']) == 2
    said = 'error: OUT_DIR out/ablation.json would overwrite the input out/ablation.json'
    assert said in capsys.readouterr().err


def test_all_labels_come_with_one_seed_before_the_next(folder, monkeypatch):
    monkeypatch.setattr(ablate, 'check', lambda source, config: 1.5)
    command = 'out one=a.py two=a.py --stage1 two=s1.py --seeds 3 1'
    runs = ablate.plan(ablate.make_parser().parse_args(command.split()))
    assert [(run.label, run.seed) for run in runs] == [
        ('one', 3), ('two', 3), ('one', 1), ('two', 1),
    ]  # fmt: skip
    assert [len(run.configs) for run in runs[:2]] == [1, 2]
    assert [run.parameters_m for run in runs] == [1.5] * 4
    assert runs[1].folder == Path('out/two/seed3')


@pytest.mark.parametrize('name', ['kvasir-seg-96x96-ablation', 'kvasir-seg-160x160'])
def test_the_table_of_committed_results_goes_into_a_page(tmp_path, name, capsys):
    folder = ROOT / 'docs' / 'results' / name
    committed = (folder / 'README.md').read_text(encoding='utf-8')
    page = tmp_path / 'page.md'
    page.write_text(committed.replace('| baseline | 2 |', '| changed |'), encoding='utf-8')
    assert ablate.main([str(folder), '--markdown', str(page)]) == 0
    assert page.read_text(encoding='utf-8') == committed
    assert '| mDice' not in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_two_labels_with_a_stage_1(folder):
    """Real trainings of one epoch, in another directory than the repository."""
    command = [
        sys.executable, str(TOOL), 'out', 'one stage=a.py', 'two=a.py', '--stage1', 'two=s1.py',
        '--seeds', '1', '--baseline', 'one stage', '--cfg-options', 'train_cfg.max_epochs=1',
        '--markdown', 'page.md',
    ]  # fmt: skip
    ended = subprocess.run(command, capture_output=True, text=True, timeout=1300)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    record = json.loads((folder / 'out' / 'ablation.json').read_text())
    one, two = record['runs']
    assert (one['label'], two['label']) == ('one stage', 'two')
    assert one['stage1'] is None
    assert (two['stage1']['config'], two['stage1']['epochs']) == ('s1.py', 1)
    for run in (one, two):
        assert run['iterations'] == 2
        scored = folder / 'out' / run['label'].replace(' ', '-') / 'seed1' / run['csv']
        rows = [line.split(',') for line in scored.read_text().splitlines()]
        dice = [float(row[rows[0].index('dice')]) for row in rows[1:]]
        # the test list is the validation list here, and there is one epoch
        assert sum(dice) / 4 == pytest.approx(run['best']['image/mDice'], abs=0.006)
    assert one['best'] != two['best']  # other starts
    assert '| two | 1 | 1.91 |' in (folder / 'page.md').read_text()
    (folder / 'out' / 'two' / 'seed1' / 'run.json').unlink()  # as if killed before the end
    again = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert again.returncode == 2
    assert 'two, seed 1: out/two/seed1 holds a run that was not finished; add --resume' in (
        again.stderr
    )
    again = subprocess.run([*command, '--resume'], capture_output=True, text=True, timeout=300)
    assert again.returncode == 0
    assert '2 runs, 1 of them finished before' in again.stdout
    assert (
        json.loads((folder / 'out' / 'ablation.json').read_text())['runs'][1]['best']
        == (two['best'])
    )
