"""Testing a checkpoint: the scores of mmseg's test, CSV, JSON and sheet, and what is refused."""

import csv
import json
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from helpers import ROOT
from small_models import CONFIG, build, make_data, write_plain

from condseg_mmseg.apis.evaluate_checkpoint import evaluate_checkpoint
from condseg_mmseg.cli import main
from condseg_mmseg.utils.errors import UserError

LOADER = 'test_dataloader.dataset.data_root'


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """Checkpoint of the small ConDSeg, and a data set with three test images."""
    folder = tmp_path_factory.mktemp('condseg')
    build(CONFIG, folder / 'model.pth')
    return folder / 'model.pth', make_data(folder / 'data')


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
def test_scores_are_those_of_mmsegs_test_and_are_written(files, tmp_path, capfd):
    checkpoint, data = files
    options = ['--csv', 'new/a.csv', '--json', 'a.json', '--sheet', 'a.png']
    argv = ['evaluate', CONFIG.stem, str(checkpoint), *options]
    assert main([*argv, '--cfg-options', f'{LOADER}={data}']) == 0
    out = capfd.readouterr().out
    report = json.loads((tmp_path / 'a.json').read_text())
    assert report['images'] == 3
    assert f'| image/mDice      | {report["results"]["image/mDice"]:.2f} |' in out
    rows = list(csv.DictReader((tmp_path / 'new' / 'a.csv').open(newline='')))
    assert len(rows) == 3
    dice = np.mean([float(row['dice']) for row in rows])
    assert report['results']['image/mDice'] == pytest.approx(dice)
    assert 0 < dice < 100
    assert report['environment']['versions']['torch'] == torch.__version__
    assert cv2.imread('a.png').shape == (30 + 3 * 148, 132 + 7 * 148, 3)
    assert sorted(p.name for p in tmp_path.iterdir()) == ['a.json', 'a.png', 'new', 'work_dirs']

    done = subprocess.run(
        [sys.executable, ROOT / 'tools' / 'test.py', CONFIG, checkpoint, '--work-dir', 'theirs',
         '--cfg-options', f'{LOADER}={data}'],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (written,) = (tmp_path / 'theirs').glob('*/*.json')
    theirs = json.loads(written.read_text())
    assert {key: theirs[key] for key in report['results']} == report['results']


@pytest.mark.slow
def test_options_of_the_test(files, capfd):
    checkpoint, data = files
    results, fused = [], []
    for option in ({}, {'fuse_conv_bn': True}, {'tta': True}):
        report = evaluate_checkpoint(CONFIG, checkpoint, cfg_options={LOADER: str(data)}, **option)
        results.append(report['results'])
        printed = capfd.readouterr()
        fused.append('FuseConvBNHook: ' in printed.out + printed.err)
    plain, same, tta = results
    assert fused == [False, True, False]
    # measured: equal; a pixel that rounds to the other side is 100 / 4096 / 3 points of accuracy
    assert same == pytest.approx(plain, abs=0.02)
    assert tta.keys() == plain.keys()
    assert abs(tta['image/mDice'] - plain['image/mDice']) > 0.1  # 27.7 and 28.1


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        (dict(checkpoint='no.pth'), 'there is no checkpoint no.pth in '),
        (dict(csv='{checkpoint}'), '--csv .*model.pth would overwrite the input'),
        (dict(json='{data}/masks/test_0.png'), '--json .*test_0.png would overwrite the input'),
        (dict(csv='{data}/val.txt'), '--csv .*val.txt is there already: add --force'),
        (dict(work_dir='{data}/val.txt'), '--work-dir .*val.txt cannot be written'),
        (dict(sheet='a.txt'), '--sheet a.txt: end it in .png'),
        (dict(cfg_options={LOADER: '/absent'}), '/absent/images'),
        (dict(cfg_options=dict(test_evaluator=None)), 'has no test_evaluator'),
        (
            dict(cfg_options={'test_evaluator.9.prefix': 'x'}),
            'cannot be read as a config: KeyError',
        ),
        (dict(cfg_options=dict(tta_model=None), tta=True), 'has no tta_model'),
        (
            dict(csv='a.csv', cfg_options={'test_evaluator.0.type': 'IoUMetric'}),
            'has no PerImageBinaryMetric in test_evaluator',
        ),
    ],
)
def test_what_cannot_be_used_gets_a_message(files, tmp_path, wrong, message):
    checkpoint, data = files
    before = {path: path.read_bytes() for path in data.parent.rglob('*') if path.is_file()}
    given = dict(checkpoint=checkpoint, cfg_options={LOADER: str(data)}) | wrong
    for key in {'csv', 'json', 'work_dir'} & given.keys():
        given[key] = given[key].format(data=data, checkpoint=checkpoint)
    if 'masks' in str(given.get('json')):
        given['force'] = True
    with pytest.raises(UserError, match=message):
        evaluate_checkpoint(CONFIG, **given)
    assert {p: p.read_bytes() for p in data.parent.rglob('*') if p.is_file()} == before


def test_a_checkpoint_of_another_model_is_refused(files, tmp_path):
    """mmengine would score the random weights that it leaves where none fit."""
    config = write_plain(tmp_path)
    with config.open('a') as file:
        file.write('default_hooks = dict(_delete_=True)')  # as in a config without our base
    with pytest.raises(UserError, match=r'does not fit the network:\n.*missing: decode_head'):
        evaluate_checkpoint(config, files[0], cfg_options={LOADER: str(files[1])})


@pytest.mark.parametrize(
    ('given', 'message'),
    [
        (['.', '.', '--tta'], '--tta needs a config, but . is a folder of predictions'),
        ([CONFIG.stem, 'a.pth', '--bootstrap', '9'], '--bootstrap needs a folder, but '),
        (['nowhere', 'a.pth'], 'no such folder of predictions, and no config: nowhere is neither'),
        ([CONFIG.stem, 'a.pth', '--cfg-options', 'x'], "'x' is no option: write KEY=VALUE"),
    ],
)
def test_the_first_argument_decides_which_options_there_are(given, message, capsys):
    assert main(['evaluate', *given]) == 2
    assert message in capsys.readouterr().err


def test_options_that_are_given_twice_add_up(files, tmp_path, capsys):
    checkpoint, data = files
    twice = ['--cfg-options', f'{LOADER}={data}', '--cfg-options']
    twice += ['test_dataloader.dataset.ann_file=absent.txt']
    assert main(['evaluate', CONFIG.stem, str(checkpoint), *twice]) == 2
    assert f'no such list: {data}/absent.txt' in capsys.readouterr().err
    masks, path = tmp_path / 'copies', tmp_path / 'a.json'
    shutil.copytree(data / 'masks', masks)
    twice = ['--extra-metrics', 'mae', '--extra-metrics', 'hd95', '--json', str(path)]
    assert main(['evaluate', str(masks), str(data / 'masks'), *twice]) == 0
    results = json.loads(path.read_text())['results']
    assert (results['image/mMAE'], results['image/mHD95']) == (0, 0)
