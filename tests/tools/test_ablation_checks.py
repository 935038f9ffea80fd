"""Wrong arguments and configs of an ablation, found before it starts; and one that is right."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers import ROOT

TOOLS = ROOT / 'tools' / 'analysis_tools'
sys.path.insert(0, str(TOOLS))
ablate = importlib.import_module('ablate')

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
    (folder / 'val.txt').write_text('\n'.join(map(str, range(16, 20))))
    return folder


@pytest.fixture
def folder(tmp_path, data, monkeypatch) -> Path:
    """The current directory, with configs a.py, b.py and s1.py."""
    monkeypatch.chdir(tmp_path)
    rest = (
        f'train_dataloader = dict(dataset=dict(data_root={str(data)!r}), num_workers=0,'
        ' persistent_workers=False)\n'
        f'val_dataloader = dict(dataset=dict(data_root={str(data)!r}), num_workers=0,'
        ' persistent_workers=False)\n'
        'train_cfg = dict(max_epochs=2, val_interval=1)\n'
        'model = dict(data_preprocessor=dict(size=(64, 64)))\n'
    )
    for name, base in dict(a=STAGE2, b=STAGE2, s1=STAGE1).items():
        (tmp_path / f'{name}.py').write_text(f'_base_ = [{str(base)!r}]\n{rest}')
    return tmp_path


def main(*args):
    return ablate.main(['out', *map(str, args)])


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (['a.py', '--seeds', '0'], 'a.py: expected LABEL=CONFIG'),
        (['a=no.py', '--seeds', '0'], 'a=no.py: there is no file no.py'),
        (['a=a.py', 'a=b.py', '--seeds', '0'], "a=b.py: the label 'a' has the same folder"),
        (['x y=a.py', 'X-y=b.py', '--seeds', '0'], "X-y=b.py: the label 'x y' has the same folder"),
        (['a=a.py', '--seeds', 'one'], "argument --seeds: invalid int value: 'one'"),
        (['a=a.py', '--seeds', '0', '0'], '--seeds [0, 0]: each once'),
        (['a=a.py', '--seeds', '-1'], '--seeds [-1]: each once, from 0'),
        (['a=a.py', '--seeds', '0', '--baseline', 'b'], '--baseline b: no such label; there are a'),
        (['a=a.py', '--seeds', '0', '--stage1', 'b=a.py'], '--stage1 b: no such label'),
        (['a=a.py', '--seeds', '0', '--stage1', 'a=no.py'], '--stage1 a=no.py: there is no file'),
        (['a=a.py', '--seeds', '0', '--markdown', 'a.py'], '--markdown a.py: the lines <!-- abla'),
        (['a=a.py', '--seeds', '0', '--markdown', 'no.md'], '--markdown no.md: [Errno 2]'),
        (['a=a.py', '--seeds', '0', '--jobs', '9999'], '--jobs 9999: choose 1 to'),
        (['a=a.py', '--seeds', '0', '--cfg-options', 'train_cfg.a.b=1', 'img_size.x=1'],
         '--cfg-options does not fit a.py'),
    ],
)  # fmt: skip
def test_wrong_arguments_are_named(folder, args, message, capsys):
    with pytest.raises(SystemExit) as caught:
        main(*args)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err
    assert not (folder / 'out').exists()


@pytest.mark.parametrize(
    ('more', 'message'),
    [
        ('x = (', 'c.py does not load: SyntaxError'),
        ('model["neck"] = dict(num_heads=5)', 'c.py: its model does not build'),
        ('train_cfg["type"] = "IterBasedTrainLoop"', 'c.py: train_cfg must count epochs'),
        ('val_evaluator = [dict(type="IoUMetric")]', 'c.py: val_evaluator has no PerImageBinaryM'),
        ('train_dataloader["dataset"]["ann_file"] = "no.txt"',
         'c.py: the data set of train_dataloader does not build'),
        ('train_dataloader["batch_size"] = 17', 'c.py: 16 training images make no batch of 17'),
        ('model["backbone"] = dict(init_cfg=dict(_delete_=True, type="StrictPretrained"))',
         'c=c.py: it starts from a checkpoint, which is not there; name the config'),
    ],
)  # fmt: skip
def test_wrong_configs_are_named_before_any_run(folder, more, message, capsys):
    (folder / 'c.py').write_text((folder / 'a.py').read_text() + more + '\n')
    with pytest.raises(SystemExit):
        main('c=c.py', '--seeds', 0)
    assert message in capsys.readouterr().err
    assert not (folder / 'out').exists()


def test_another_encoder_in_stage_1_is_named(folder, capsys):
    (folder / 's1.py').write_text(
        (folder / 'a.py').read_text() + 'model["backbone"] = dict(depth=34)\n'
    )
    with pytest.raises(SystemExit):
        main('a=a.py', '--stage1', 'a=s1.py', '--seeds', 0)
    error = capsys.readouterr().err
    assert '--stage1 a=s1.py: its encoder is another one than that of a.py' in error
    assert not (folder / 'out').exists()


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_two_labels_two_seeds_with_a_stage_1(folder):
    """Real trainings of one epoch, in another directory than the repository."""
    command = [
        sys.executable, str(TOOLS / 'ablate.py'), 'out', 'one stage=a.py', 'two=a.py',
        '--stage1', 'two=s1.py', '--seeds', '0', '1', '--baseline', 'one stage',
        '--cfg-options', 'train_cfg.max_epochs=1',
    ]  # fmt: skip
    ended = subprocess.run(command, capture_output=True, text=True, timeout=1300)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    found = json.loads((folder / 'out' / 'ablation.json').read_text())
    assert len(found['runs']) == 4
    assert len(found['stage1']) == 2
    for run in found['runs']:
        assert run['iterations'] == 2
        rows = (folder / 'out' / run['label'].replace(' ', '-') / f'seed{run["seed"]}').glob(
            '*/vis_data/scalars.json'
        )
        scores = [json.loads(line) for line in next(rows).read_text().splitlines()][-1]
        assert run['best']['image/mDice'] == pytest.approx(scores['image/mDice'], abs=0.006)
    log = (folder / 'out' / 'two' / 'seed1.log').read_text()
    assert 'out/_stage1/s1/seed1/best_image_mIoU_epoch_1.pth' in log
    logs = [
        json.loads(path.read_text().splitlines()[0])['loss']
        for path in sorted(folder.glob('out/*/seed*/*/vis_data/scalars.json'))
    ]
    assert len(set(logs)) == 4  # other seeds and other starts: other first losses
    again = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert again.returncode == 0
    assert '6 runs, 6 of them finished before' in again.stdout
