"""A folder with data, two small configs and the command that trains them."""

import json
import os
import subprocess
import sys
import time

from helpers import ROOT

from condseg_mmseg.configs import find_config

STAGE1 = find_config('condseg-stage1_r18_1xb8-3e_demo-96x96')
STAGE2 = find_config('condseg_r18_1xb8-4e_demo-96x96')

CONFIG = """
_base_ = {base!r}
custom_imports = dict(imports=['condseg_mmseg', 'waiting_hook'], allow_failed_imports=False)
custom_hooks = [dict(type='WaitingHook', folder={folder!r}, stage={stage!r})]
model = dict({model})
loader = dict(num_workers=0, persistent_workers=False, dataset=dict(data_root='data'))
train_dataloader = dict(**loader, batch_size=4)
val_dataloader = loader
test_dataloader = val_dataloader
train_cfg = dict(max_epochs={epochs}, val_interval=1)
"""
HOOK = """
import time
from pathlib import Path
import torch
from mmengine.hooks import Hook
from mmseg.registry import HOOKS

@HOOKS.register_module()
class WaitingHook(Hook):
    # waits before the epoch that a file names, and keeps the encoder of the beginning

    def __init__(self, folder, stage):
        self.folder, self.stage = Path(folder), stage

    def before_train(self, runner):
        start = self.folder / f'{self.stage}_start.pth'
        if runner.iter == 0 and runner.rank == 0:
            model = getattr(runner.model, 'module', runner.model)
            torch.save(model.backbone.state_dict(), start)

    def before_train_epoch(self, runner):
        order = self.folder / f'{self.stage}_wait_at'
        if order.exists() and int(order.read_text()) == runner.epoch:
            (self.folder / 'reached').touch()
            time.sleep(600)
"""
NARROW = 'backbone=dict(stem_channels=8, base_channels=8), '
NARROW1 = NARROW + 'decode_head=dict(in_channels=[8, 8, 16, 32])'
NARROW2 = (
    NARROW + 'neck=dict(in_channels=[8, 8, 16, 32], out_channels=8), '
    'decode_head=dict(in_channels=[8] * 4, channels=8), auxiliary_head=dict(in_channels=8)'
)


class Bench:
    """A folder with data, two small configs and the command."""

    def __init__(self, folder):
        self.folder, self.work = folder, folder / 'work'
        stages = (('stage1', STAGE1, NARROW1, 3), ('stage2', STAGE2, NARROW2, 2))
        for stage, base, model, epochs in stages:
            text = CONFIG.format(
                base=str(base), folder=str(folder), stage=stage, model=model, epochs=epochs
            )
            (folder / f'{stage}.py').write_text(text)
        (folder / 'waiting_hook.py').write_text(HOOK)
        self.args = ['stage1.py', 'stage2.py', '--work-dir', str(self.work)]

    def start(self, *more):
        env = dict(os.environ, OMP_NUM_THREADS='1', PYTHONPATH=f'{self.folder}:{ROOT}')
        with (self.folder / 'output').open('w') as file:  # a pipe would fill up
            command = [sys.executable, '-m', 'condseg_mmseg', 'train', *self.args, *more]
            return subprocess.Popen(
                command, cwd=self.folder, env=env, stdout=file, stderr=subprocess.STDOUT
            )

    def output(self):
        return (self.folder / 'output').read_text()

    def run(self, *more):
        status = self.start(*more).wait(300)
        return status, self.output()

    def kill(self, stage, epoch, number, *more):
        """Run until an epoch begins, then send a signal; returns the exit status and the output."""
        (self.folder / f'{stage}_wait_at').write_text(str(epoch))
        process = self.start(*more)
        wait(lambda: (self.folder / 'reached').exists() or process.poll() is not None, 300)
        assert process.poll() is None, self.output()
        process.send_signal(number)
        status = process.wait(60)
        (self.folder / 'reached').unlink()
        (self.folder / f'{stage}_wait_at').unlink()
        return status, self.output()

    def record(self):
        return json.loads((self.work / 'two_stages.json').read_text())


def wait(condition, seconds):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, 'waited in vain'
        time.sleep(0.02)
