"""A schedule follows the epochs of the leaf and the number of images, through mmengine's runner."""

import math

import pytest
import torch
from helpers import ROOT
from mmengine.config import Config
from mmengine.dataset import DefaultSampler
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch.utils.data import DataLoader


class Slope(BaseModel):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, inputs, mode='loss'):
        return dict(loss=(self.weight * inputs.float().mean()).sum())


class Rates(Hook):
    def __init__(self):
        self.seen = []

    def before_train_iter(self, runner, **_):
        self.seen += runner.optim_wrapper.get_lr()['lr']


def rates(folder, name, epochs, steps):
    """The learning rate of every step, from 1."""
    schedule = Config.fromfile(ROOT / 'configs' / '_base_' / 'schedules' / f'{name}.py')
    data, hook = [dict(inputs=torch.ones(1))] * steps, Rates()
    runner = Runner(
        model=Slope(),
        work_dir=str(folder),
        train_dataloader=DataLoader(data, sampler=DefaultSampler(data)),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=1.0)),
        param_scheduler=schedule.param_scheduler,
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        custom_hooks=[hook],
        experiment_name=f'{name}-{epochs}-{steps}-{folder.name}',
    )
    runner.train()
    return hook.seen


@pytest.mark.parametrize(('epochs', 'steps'), [(1, 7), (3, 5), (4, 2)])
def test_one_epoch_of_warm_up_then_cosine_to_the_last_step(tmp_path, epochs, steps):
    found, total = rates(tmp_path, 'schedule_short', epochs, steps), epochs * steps
    assert len(found) == total
    for step, rate in enumerate(found):
        warm = min(1, 0.05 + 0.95 * step / (steps - 1))
        cosine = 0.001 + 0.999 * (1 + math.cos(math.pi * step / total)) / 2
        assert rate == pytest.approx(warm * cosine, abs=2e-3), step


def test_one_cycle_over_all_steps(tmp_path):
    found = rates(tmp_path, 'schedule_demo', 4, 10)
    assert len(found) == 40
    assert max(found) == found[3] == pytest.approx(5e-3)
    assert found[0] == pytest.approx(5e-3 / 25)
    assert found[-1] == pytest.approx(5e-3 / 25 / 1e4)
