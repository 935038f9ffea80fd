"""The scripts in tools/ run mmseg's own ones, or the command ``condseg``."""

import csv
import os
import subprocess
import sys

import mmcv
import pytest
import torch
from helpers import ROOT, run_tool
from mmengine.config import Config
from mmseg.registry import MODELS

from condseg_mmseg.utils.mmseg_scripts import find_script

TOOLS = ROOT / 'tools'


def _run(*command, cwd, **env):
    return subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env={**os.environ, 'OMP_NUM_THREADS': '1', **env},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ('name', 'description', 'option'),
    [
        ('train.py', 'Train a segmentor', '--resume'),
        ('test.py', 'MMSeg test (and eval) a model', '--tta'),
    ],
)
def test_help_is_that_of_mmseg(monkeypatch, capsys, name, description, option):
    texts = []
    for path in (TOOLS / name, find_script(name)):
        assert run_tool(monkeypatch, path, '--help') == 0
        texts.append(capsys.readouterr().out)
    ours, theirs = texts
    assert description in theirs
    assert option in theirs
    assert ours.startswith(theirs)
    added = ours.removeprefix(theirs)
    assert ('--fuse-conv-bn' in added) == (name == 'test.py')
    assert bool(added) == (name == 'test.py')


def test_exit_code_is_passed_on_without_notes_of_the_stack(tmp_path):
    result = _run(sys.executable, TOOLS / 'train.py', cwd=tmp_path)
    assert (result.returncode, result.stdout) == (2, '')
    assert result.stderr.startswith('usage: train.py ')
    message = 'train.py: error: the following arguments are required: config'
    assert result.stderr.splitlines()[-1] == message


@pytest.mark.parametrize(
    ('name', 'command'), [('demo.py', 'demo'), ('train_two_stages.py', 'train')]
)
def test_older_paths_are_the_command(monkeypatch, capsys, name, command):
    assert run_tool(monkeypatch, TOOLS / name, '--help') == 0
    assert capsys.readouterr().out.startswith(f'usage: condseg {command} [-h] ')


@pytest.mark.parametrize('name', ['train.py', 'test.py', 'demo.py', 'mmseg_tool.py'])
def test_without_the_package_one_line_says_what_to_run(tmp_path, name):
    result = _run(sys.executable, '-S', TOOLS / name, cwd=tmp_path, PYTHONPATH='')
    assert result.returncode == 1
    assert result.stderr == (
        f'condseg_mmseg is not installed in this Python ({sys.executable}); run `make install`, or '
        'pip install "condseg-mmseg[onedl]"\n'
    )


@pytest.mark.slow
def test_scores_of_the_fused_network(tmp_path):
    """Two runs of mmseg's script on one network with random weights, plain and fused."""
    make = TOOLS / 'dataset_converters' / 'prepare.py'
    sizes = ('--num-train', 4, '--num-val', 2, '--num-test', 6, '--size', 96)
    made = _run(sys.executable, make, 'demo', tmp_path / 'data', *sizes, cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    config = TOOLS.parent / 'configs' / 'condseg' / 'condseg_r18_1xb8-4e_demo-96x96.py'
    cfg = Config.fromfile(config)
    model = MODELS.build(cfg.model)
    images = [mmcv.imread(path) for path in sorted((tmp_path / 'data/images').glob('*'))]
    batch = torch.stack([torch.from_numpy(image).permute(2, 0, 1).float() for image in images])
    batch = (batch - 127) / 64
    metas = [dict(img_shape=(96, 96))] * len(batch)
    with torch.no_grad():
        for _ in range(20):  # statistics that fit the images
            model.train().extract_feat(batch)
            model.decode_head(model.neck(model.backbone(batch))[:4])
        logits = model.eval().encode_decode(batch, metas)
        model.decode_head.conv_seg.bias -= logits.median()  # about half of each image
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'model.pth')
    rows = {}
    for name, flag in (('plain', ()), ('fused', ('--fuse-conv-bn',))):
        csv_path = tmp_path / f'{name}.csv'
        result = _run(
            *(sys.executable, TOOLS / 'test.py', config, tmp_path / 'model.pth'),
            *('--work-dir', tmp_path / name, '--cfg-options', 'test_dataloader.num_workers=0'),
            'test_dataloader.persistent_workers=False',
            f'test_dataloader.dataset.data_root={tmp_path / "data"}',
            *(f'test_evaluator.0.csv_path={csv_path}', *flag),
            cwd=tmp_path,
        )
        assert result.returncode == 0, result.stderr[-2000:]
        told = 'FuseConvBNHook: ' in result.stdout + result.stderr
        assert told == (name == 'fused')
        with csv_path.open() as file:
            rows[name] = list(csv.DictReader(file))
    assert len(rows['plain']) == 6
    numbers = 0
    for one, other in zip(rows['plain'], rows['fused'], strict=True):
        assert one.keys() == other.keys()
        for key, text in one.items():
            try:
                expected = float(text)
            except ValueError:
                assert other[key] == text
                continue
            # of 9216 pixels two may lie so near the threshold that rounding moves them
            allowed = 2 if key in ('tp', 'fp', 'fn', 'tn') else 1e-3 * max(1.0, abs(expected))
            assert float(other[key]) == pytest.approx(expected, abs=allowed), key
            numbers += 0 < expected < 100
    assert numbers >= 6


@pytest.mark.slow
def test_config_is_looked_for_in_the_working_directory(tmp_path):
    """A runner type that does not exist stops mmseg's script once it has read the config."""
    (tmp_path / 'here.py').write_text(
        "runner_type = 'NoSuchRunner'\noptim_wrapper = dict(type='OptimWrapper')\n"
    )
    result = _run(sys.executable, TOOLS / 'train.py', 'here.py', cwd=tmp_path)
    assert result.returncode == 1
    assert 'NoSuchRunner' in result.stderr


@pytest.mark.slow
def test_any_other_script(tmp_path):
    (tmp_path / 'here.py').write_text('answer = 6 * 7\n')
    script = TOOLS / 'mmseg_tool.py'
    result = _run(sys.executable, script, 'misc/print_config.py', 'here.py', cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert 'answer = 42' in result.stdout
    listed = _run(sys.executable, script, cwd=tmp_path)
    assert 'analysis_tools/get_flops.py' in listed.stdout.splitlines()
    absent = _run(sys.executable, script, 'no_such.py', cwd=tmp_path)
    assert absent.returncode == 1
    assert 'has no tools/no_such.py' in absent.stderr


@pytest.fixture
def fake_python(tmp_path):
    """Stands in for the interpreter and prints its arguments, one a line."""
    path = tmp_path / 'fake python'
    path.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    path.chmod(0o755)
    return path


LAUNCH = ['-m', 'torch.distributed.run', '--nnodes=1', '--node_rank=0', '--master_addr=127.0.0.1']


def test_dist_train(tmp_path, fake_python):
    result = _run(
        *(TOOLS / 'dist_train.sh', 'my config.py', 4, '--cfg-options', 'a=b c'),
        cwd=tmp_path,
        PYTHON=str(fake_python),
        PORT='1234',
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [
        *LAUNCH,
        '--master_port=1234',
        '--nproc_per_node=4',
        str(TOOLS / 'train.py'),
        *('my config.py', '--launcher', 'pytorch', '--cfg-options', 'a=b c'),
    ]


def test_dist_test(tmp_path, fake_python):
    result = _run(
        *(TOOLS / 'dist_test.sh', 'config.py', 'best.pth', 2, '--tta'),
        cwd=tmp_path,
        PYTHON=str(fake_python),
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [
        *LAUNCH,
        '--master_port=29500',
        '--nproc_per_node=2',
        str(TOOLS / 'test.py'),
        *('config.py', 'best.pth', '--launcher', 'pytorch', '--tta'),
    ]


@pytest.mark.parametrize('name', ['dist_train.sh', 'dist_test.sh'])
def test_dist_scripts_say_how_to_call_them(tmp_path, name):
    result = _run(TOOLS / name, 'config.py', cwd=tmp_path)
    assert result.returncode == 2
    assert 'usage:' in result.stderr
    assert 'GPUS' in result.stderr
