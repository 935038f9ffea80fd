"""A run of both stages that crashes at any write goes on as if it had not."""

import itertools
import shutil

import pytest
import torch
from engine.crashes import Crash, crash_at
from engine.small_training import Wave, snapshot
from helpers import figure, some_of
from mmengine.config import Config
from mmengine.model import BaseModel, BaseModule
from mmengine.runner import Runner
from mmseg.registry import DATASETS, METRICS, MODELS
from torch import nn

from condseg_mmseg.apis import train_two_stages as module
from condseg_mmseg.datasets import SeededDraws
from condseg_mmseg.engine.atomic_checkpoint import numbered_checkpoints
from condseg_mmseg.utils.cfg_options import read_options
from condseg_mmseg.utils.files import sha256

CONFIG = """
custom_imports = dict(imports=['condseg_mmseg'], allow_failed_imports=False)
default_scope = 'mmseg'
log_level = 'ERROR'
randomness = dict(seed=0)
model = dict(type='NoisyNet', backbone=dict(type='OneWeight'))
train_dataloader = dict(
    dataset=dict(type='NoisyPoints'), batch_size=2, collate_fn=dict(type='default_collate'),
    sampler=dict(type='SeededSampler', shuffle=True))
val_dataloader = dict(train_dataloader, sampler=dict(type='DefaultSampler', shuffle=False))
train_cfg = dict(by_epoch=True, max_epochs={epochs}, val_interval=1)
val_cfg = dict()
val_evaluator = dict(type='Wave')
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.02, momentum=0.5))
param_scheduler = dict(type='StepLR', step_size=2, gamma=0.9, end=99)
default_hooks = dict(
    checkpoint=dict(type='AtomicCheckpointHook', interval=1, max_keep_ckpts=2,
                    save_best='score', rule='greater'),
    seeded_iterations=dict(type='SeededIterationsHook'))
"""
EPOCHS = dict(stage1=4, stage2=3)
_names = (f'two_stages_crashes_{i}' for i in itertools.count())


class Points:
    def __len__(self):
        return 4

    def __getitem__(self, idx):
        return dict(inputs=torch.tensor([idx + 1.0]) + 0.3 * torch.rand(1))


class NoisyPoints(SeededDraws, Points):
    """Four points, augmented."""


class OneWeight(BaseModule):
    def __init__(self, init_cfg=None):
        super().__init__(init_cfg)
        self.fc = nn.Linear(1, 1)
        nn.init.constant_(self.fc.weight, 0.1)

    def forward(self, x):
        return self.fc(x)


class NoisyNet(BaseModel):
    """An encoder and a head, with noise where a network has dropout."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone, self.head = MODELS.build(backbone), nn.Linear(1, 1)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        y = self.backbone(inputs)
        if mode == 'loss':
            y = y * (0.9 + 0.2 * torch.rand_like(y))
            return dict(loss=(self.head(y) - 2 * inputs).square().mean())
        return [self.head(y)]


@pytest.fixture
def parts(tmp_path, monkeypatch):
    """The parts in the registries, both configs, and trainings in this process."""
    monkeypatch.chdir(tmp_path)
    for registry, part in (
        (MODELS, OneWeight), (MODELS, NoisyNet), (DATASETS, NoisyPoints), (METRICS, Wave),
    ):  # fmt: skip
        monkeypatch.setitem(registry.module_dict, part.__name__, part)
    for stage, epochs in EPOCHS.items():
        (tmp_path / f'{stage}.py').write_text(CONFIG.replace('{epochs}', str(epochs)))
    monkeypatch.setattr(module, 'run_logged', run_here)
    monkeypatch.setattr(module, 'environment', dict)


def run_here(command, *more):
    """What a process of ``condseg train`` would do."""
    _, _, _, _, config, option, folder, *rest = command
    assert option == '--work-dir'
    cfg = Config.fromfile(config)
    cfg.resume = '--resume' in rest
    options = rest[rest.index('--cfg-options') + 1 :] if '--cfg-options' in rest else []
    cfg.merge_from_dict(read_options(options))
    cfg.update(work_dir=folder, experiment_name=next(_names))
    Runner.from_cfg(cfg).train()
    return 0, 0


def train(folder, resume=False):
    return module.train_two_stages('stage1.py', 'stage2.py', work_dir=folder, resume=resume)


@pytest.mark.slow
@pytest.mark.timeout(7200)  # all of them
def test_every_place_to_crash(parts, tmp_path, monkeypatch):
    """Checkpoints, best ones, pointers, record: each write, sync, rename and deletion."""
    with monkeypatch.context() as patch:
        count = crash_at(patch, None, torn=False)
        train('uninterrupted')
        places = next(count)
    expected = {stage: snapshot(tmp_path / 'uninterrupted' / stage) for stage in EPOCHS}
    assert places > 100
    chosen = some_of(places, every=13)
    for number in chosen:
        for torn in (False, True):
            folder = tmp_path / f'{number}_{torn}'
            with monkeypatch.context() as patch:
                crash_at(patch, number, torn)
                with pytest.raises(Crash):
                    train(folder)
            left = {stage: numbered_checkpoints(folder / stage) for stage in EPOCHS}
            record = train(folder, resume=True)
            check(folder, record, expected, left)
            shutil.rmtree(folder)
    figure('crashes of both stages', f'{2 * len(chosen)}, at {len(chosen)} of {places} places')


def check(folder, record, expected, left):
    for stage, (checkpoints, newest) in expected.items():
        entry = record['stages'][stage]
        assert entry['complete'], folder
        assert entry['epochs'] == EPOCHS[stage], folder
        if len(entry['attempts']) == 2:  # else it was not begun, or was complete
            assert entry['attempts'][1]['resumed_from'] == (
                left[stage][0].name if left[stage] else None
            ), folder
        found, pointer = snapshot(folder / stage)
        assert pointer == newest, folder
        # a deletion that did not happen leaves a file, and nothing else differs
        assert {name: found.get(name) for name in checkpoints} == checkpoints, folder
        assert len(found) <= len(checkpoints) + 2, folder
        assert not list((folder / stage).glob('.*')), folder
        assert entry['best_file'] == next(n for n in checkpoints if n.startswith('best')), folder
    given = record['stages']['stage2']['handed_over']
    assert given['file'] == f'stage1/{record["stages"]["stage1"]["best_file"]}', folder
    assert given['sha256'] == sha256(folder / given['file']), folder
