"""Two processes on a CPU: weights and scores of one process, and an end with an error."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from helpers import ROOT
from small_models import CONFIG, make_data

SECONDS = 300
DATA = """
_base_ = {base!r}
loader = dict(num_workers=0, persistent_workers=False, batch_size={batch})
dataset = dict(
    type='BinaryMedicalDataset', data_root={data!r}, ann_file='val.txt',
    pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='ResizeWithMask', scale=(64, 64), keep_ratio=False),
        dict(type='LoadBinaryMask'),
        dict(type='ScoreAtInputSize'),
        dict(type='PackSegInputs'),
    ],
)
train_dataloader = dict(
    **loader, drop_last=False, sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(dataset, _delete_=True),
)
# five images: each process gets three, one of them twice
val_dataloader = dict(
    num_workers=0, persistent_workers=False, batch_size=1,
    dataset=dict(dataset, _delete_=True, ann_file='odd.txt'),
)
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=2, val_interval=1)
optim_wrapper = dict(_delete_=True, optimizer=dict(type='SGD', lr=0.01, momentum=0.9))
param_scheduler = []
model = dict(data_preprocessor=dict(size=(64, 64)))
default_hooks = dict(checkpoint=dict(max_keep_ckpts=5))
"""
# what is not the same over one batch and over two halves: BatchNorm, and sums over the batch
ALIKE = """
norm = dict(type='GN', num_groups=4)
reduced = dict(reduce_over_ranks=True)
model = dict(
    data_preprocessor=dict(size=(64, 64)),
    backbone=dict(norm_cfg=norm),
    neck=dict(norm_cfg=norm),
    decode_head=dict(
        norm_cfg=norm, dropout_ratio=0, loss_decode=dict(type='BCEDiceLoss', **reduced)
    ),
    auxiliary_head=dict(norm_cfg=norm, loss_decode=dict(type='SIDLoss', **reduced)),
)
"""
HOOK = """
import os, signal
from mmengine.hooks import Hook
from mmseg.registry import HOOKS

@HOOKS.register_module()
class DyingHook(Hook):
    def __init__(self, how):
        self.how = how

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.rank == 1 and runner.iter == 2:
            if self.how == 'killed':
                os.kill(os.getpid(), signal.SIGKILL)
            raise ValueError('this process has had enough')
"""


def run(folder, *command, **env):
    with socket.create_server(('127.0.0.1', 0)) as server:
        port = str(server.getsockname()[1])
    env = dict(
        os.environ, PYTHONPATH=f'{ROOT}{os.pathsep}{folder}', PORT=port, PYTHON=sys.executable,
        OMP_NUM_THREADS='1', **env,
    )  # fmt: skip
    return subprocess.run(
        [str(part) for part in command], cwd=folder, env=env, text=True, timeout=SECONDS,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def scores(work):
    """The last scores of a folder of mmengine, as mmengine wrote them."""
    files = sorted(work.glob('*/vis_data/scalars.json')) or sorted(work.glob('*/*.json'))
    lines = [json.loads(line) for line in files[-1].read_text().splitlines()]
    (*_, last) = [line for line in lines if 'image/mIoU' in line]
    return {name: value for name, value in last.items() if name.startswith(('image/', 'dataset/'))}


class Bench:
    def __init__(self, folder):
        self.folder = folder
        make_data(folder / 'data')
        stems = sorted(path.stem for path in (folder / 'data' / 'images').iterdir())
        (folder / 'data' / 'val.txt').write_text('\n'.join(stems))
        (folder / 'data' / 'odd.txt').write_text('\n'.join(stems[:5]))
        self.text = DATA.format(base=str(CONFIG), data=str(folder / 'data'), batch='{batch}')

    def config(self, name, batch, more=''):
        path = self.folder / f'{name}.py'
        path.write_text(self.text.format(batch=batch) + more)
        return path

    def train(self, name, batch, gpus=None, more='', check=True):
        command = [sys.executable, '-m', 'condseg_mmseg', 'train', self.config(name, batch, more)]
        command += ['--work-dir', self.folder / name, *(['--gpus', gpus] if gpus else [])]
        done = run(self.folder, *command)
        assert not check or done.returncode == 0, done.stdout[-3000:]
        return done

    def weights(self, name):
        return torch.load(self.folder / name / 'epoch_2.pth', weights_only=False)['state_dict']


@pytest.fixture(scope='module')
def bench(tmp_path_factory):
    return Bench(tmp_path_factory.mktemp('distributed'))


@pytest.mark.slow
def test_two_processes_train_as_one_at_the_same_global_batch(bench):
    """Four steps in float32; sums are taken in another order, hence the tolerance."""
    bench.train('one', 4, more=ALIKE)
    bench.train('two', 2, gpus=2, more=ALIKE)
    one, two = bench.weights('one'), bench.weights('two')
    assert one.keys() == two.keys()
    for name, weight in one.items():
        torch.testing.assert_close(two[name], weight, rtol=1e-4, atol=1e-5, msg=name)
    start = bench.folder / 'one' / 'epoch_1.pth'
    before = torch.load(start, weights_only=False)['state_dict']
    assert max((one[n] - before[n]).abs().max() for n in one) > 1e-3  # there was something to learn
    expected = scores(bench.folder / 'one')
    assert expected.keys() >= {'image/mIoU', 'image/mDice', 'dataset/mIoU'}
    assert scores(bench.folder / 'two') == pytest.approx(expected, abs=0.02)


@pytest.mark.slow
def test_validation_and_test_in_two_processes_give_the_scores_of_one(bench):
    """With BatchNorm: what is validated is what is saved, and what mmseg's test.py scores."""
    bench.train('norm', 2, gpus=2)
    validated = scores(bench.folder / 'norm')
    checkpoint, config = bench.folder / 'norm' / 'epoch_2.pth', bench.folder / 'norm.py'
    done = run(
        bench.folder, ROOT / 'tools' / 'dist_test.sh', config, checkpoint, 2,
        '--work-dir', bench.folder / 'tested',
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    assert '5 images' in done.stdout
    assert 'GPU number: 2' in done.stdout
    alone = bench.folder / 'alone'
    done = run(
        bench.folder, sys.executable, ROOT / 'tools' / 'test.py', config, checkpoint,
        '--work-dir', alone,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    assert scores(bench.folder / 'tested') == scores(alone)
    assert validated == pytest.approx(scores(alone), abs=1e-3)
    assert np.isfinite(list(validated.values())).all()


@pytest.mark.slow
@pytest.mark.parametrize('how', ['killed', 'failed'])
def test_a_process_that_dies_ends_the_training_with_an_error(bench, how):
    (bench.folder / 'dying.py').write_text(HOOK)
    more = (
        "custom_imports = dict(imports=['condseg_mmseg', 'dying'], allow_failed_imports=False)\n"
        f"custom_hooks = [dict(type='DyingHook', how={how!r})]\ntrain_cfg = dict(max_epochs=999)\n"
    )
    begin = time.monotonic()
    done = bench.train(how, 2, gpus=2, more=more, check=False)
    assert done.returncode not in (0, None)
    assert time.monotonic() - begin < 120
    assert 'error: the training ended with status 1' in done.stdout
    expected = f'Signal {signal.SIGKILL.value}' if how == 'killed' else 'had enough'
    assert expected in done.stdout
    for entry in os.scandir('/proc'):  # no process is left
        if entry.name.isdigit():
            try:
                line = open(f'/proc/{entry.name}/cmdline', 'rb').read()
            except OSError:
                continue
            assert str(bench.folder / how).encode() not in line
