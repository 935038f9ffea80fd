"""A resumed training draws, and ends, as the uninterrupted one."""

import itertools
import random

import numpy as np
import pytest
import torch
from helpers import ROOT
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from condseg_mmseg.engine import SeededIterationsHook, read_checkpoint
from condseg_mmseg.engine import seeded_iterations as module
from condseg_mmseg.preparation import make_demo_dataset

CONFIGS = ROOT / 'configs'
NARROW = dict(stem_channels=8, base_channels=8)
MODELS = dict(
    stage1=dict(
        backbone=NARROW, decode_head=dict(in_channels=[8, 8, 16, 32], dropout_ratio=0.2)
    ),
    stage2=dict(
        backbone=NARROW,
        neck=dict(in_channels=[8, 8, 16, 32], out_channels=8),
        decode_head=dict(in_channels=[8] * 4, channels=8, dropout_ratio=0.2),
        auxiliary_head=dict(in_channels=8),
    ),
)  # fmt: skip
FILES = dict(
    stage1=CONFIGS / 'condseg/condseg-stage1_r18_1xb8-3e_demo-96x96.py',
    stage2=CONFIGS / 'condseg/condseg_r18_1xb8-4e_demo-96x96.py',
)
BY_ITERATION = dict(
    train_cfg=dict(type='IterBasedTrainLoop', max_iters=6, val_interval=2),
    param_scheduler=dict(type='PolyLR', by_epoch=False, end=6),
    log_processor=dict(by_epoch=False),
)
SAMPLERS = dict(endless='SeededInfiniteSampler', passes='SeededSampler')
_names = (f'seeded_iterations_{i}' for i in itertools.count())


class Stop(Exception):
    pass


class Watch(Hook):
    """Notes what is drawn, and stops before a step."""

    priority = 'LOWEST'

    def __init__(self, stop_at=None):
        self.stop_at = stop_at
        self.seen = {}

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.stop_at:
            raise Stop
        names = [sample.img_path for sample in data_batch['data_samples']]
        self.seen[runner.iter] = names, [image.sum().item() for image in data_batch['inputs']]


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp('data') / 'demo'
    make_demo_dataset(folder, counts=(8, 2, 2))
    return folder


def run(stage, data, folder, stop_at=None, sampler=None, **more):
    """Train; returns what was drawn, by iteration."""
    cfg = Config.fromfile(FILES[stage])
    loader = dict(num_workers=0, persistent_workers=False, dataset=dict(data_root=str(data)))
    ema = Config.fromfile(CONFIGS / '_base_/schedules/schedule_cpu.py').custom_hooks
    cfg.merge_from_dict(
        dict(
            model=MODELS[stage], train_dataloader=dict(loader, batch_size=4), val_dataloader=loader,
            test_dataloader=loader, train_cfg=dict(max_epochs=3, val_interval=1),
            custom_hooks=ema,
        )
    )  # fmt: skip
    if sampler:  # a loop of iterations
        for key, value in BY_ITERATION.items():
            setattr(cfg, key, value)  # update() would merge
        cfg.default_hooks.checkpoint.update(by_epoch=False, interval=2)
        cfg.train_dataloader.sampler.type = sampler
    cfg.update(work_dir=str(folder), experiment_name=next(_names), **more)
    runner = Runner.from_cfg(cfg)
    watch = Watch(stop_at)
    runner.register_hook(watch)
    if stop_at is None:
        runner.train()
    else:
        with pytest.raises(Stop):
            runner.train()
    return watch.seen


def assert_same(one, two, path=''):
    assert type(one) is type(two), path
    if isinstance(one, dict):
        assert one.keys() == two.keys(), path
        for key in one:
            assert_same(one[key], two[key], f'{path}.{key}')
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(two), path
        for i, pair in enumerate(zip(one, two, strict=True)):
            assert_same(*pair, f'{path}.{i}')
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, two), path
    else:
        assert one == two, path


KEYS = ('state_dict', 'ema_state_dict', 'optimizer', 'param_schedulers')


@pytest.mark.slow
@pytest.mark.parametrize(
    ('stage', 'loop'),
    [('stage1', 'epochs'), ('stage2', 'epochs'), ('stage1', 'seed of mmengine'),
     ('stage1', 'endless'), ('stage2', 'passes')],
)  # fmt: skip
def test_a_resumed_training_ends_bit_for_bit_as_the_uninterrupted_one(stage, loop, data, tmp_path):
    """With augmentation, strong view, dropout and an average of the weights."""
    sampler, stop_at, last, more = SAMPLERS.get(loop), 2, 'epoch_3.pth', {}
    if sampler:
        stop_at, last = 3, 'iter_6.pth'
    if loop == 'seed of mmengine':  # it is not in the config
        more = dict(randomness=dict(seed=None))
    runs = []
    for name, stop, seed in (('whole', None, 5), ('stopped', stop_at, 5), ('stopped', None, 6)):
        np.random.seed(seed)  # noqa: NPY002 - mmengine draws a seed from here
        resume = dict(resume=True) if seed == 6 else {}
        runs.append(run(stage, data, tmp_path / name, stop, sampler, **resume, **more))
    whole, before, after = runs
    assert len(whole) == 6
    assert list(after) == [2, 3, 4, 5]
    assert whole == before | after  # the same images in the same order, augmented alike
    one, two = (read_checkpoint(tmp_path / name / last) for name in ('whole', 'stopped'))
    for key in KEYS:
        assert_same(one[key], two[key], key)


class Model:
    def __init__(self, seed, sampler_seed):
        sampler = type('Sampler', (), dict(seed=sampler_seed))()
        loader = type('Loader', (), dict(sampler=sampler, batch_sampler=None))()
        self.train_dataloader, self.seed, self.iter = loader, seed, 0


def test_each_step_is_seeded_by_seed_process_and_iteration(monkeypatch):
    hook, runner, seen = SeededIterationsHook(), Model(0, 0), []
    for seed, rank, step in itertools.product((0, 1), (0, 1), (0, 1)):
        monkeypatch.setattr(module, 'get_rank', lambda rank=rank: rank)
        runner.seed, runner.iter = seed, step
        hook.before_train_iter(runner, 0)
        draws = random.random(), np.random.rand(), torch.rand(()).item()  # noqa: NPY002
        hook.before_train_iter(runner, 1)
        assert draws == (random.random(), np.random.rand(), torch.rand(()).item())  # noqa: NPY002
        seen += draws
    assert len(set(seen)) == 24
    assert seen[:3] == pytest.approx((0.2167888258, 0.8217661238, 0.3542667627), abs=1e-8)


@pytest.mark.parametrize(('built_with', 'expected'), [(11, 7), (3, 3)])
def test_the_sampler_gets_the_seed_of_the_checkpoint(built_with, expected):
    """mmengine has made 11, and the checkpoint says 7; a seed that the sampler was given stays."""
    hook, runner = SeededIterationsHook(), Model(11, built_with)
    hook.before_run(runner)
    runner.seed = 7
    hook.before_train(runner)
    assert runner.train_dataloader.sampler.seed == expected
