"""EMAHook as schedule_cpu.py has it: what is validated, saved, resumed and handed over."""

import mmcv
import numpy as np
import pytest
import torch
from helpers import ROOT
from mmengine.config import Config
from mmengine.runner import Runner

from condseg_mmseg.engine.best_checkpoint import best_checkpoint
from condseg_mmseg.engine.strict_pretrained import StrictPretrained

DEMO = ROOT / 'configs/condseg/condseg_r18_1xb8-4e_demo-96x96.py'
SCHEDULE = ROOT / 'configs/_base_/schedules/schedule_cpu.py'


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    folder, draw = tmp_path_factory.mktemp('data'), np.random.default_rng(0)
    for name in 'abcd':
        image = draw.integers(0, 256, (96, 96, 3), np.uint8)
        mmcv.imwrite(image, str(folder / f'images/{name}.png'))
        mmcv.imwrite(image[..., 0] // 128, str(folder / f'masks/{name}.png'))
    cfg = Config.fromfile(DEMO)
    cfg.custom_hooks = Config.fromfile(SCHEDULE).custom_hooks
    cfg.custom_hooks[0].momentum = 0.3
    for part in ('train', 'val', 'test'):
        (folder / f'{part}.txt').write_text('a\nb\nc\nd\n')
        loader = cfg[f'{part}_dataloader']
        loader.update(batch_size=2, num_workers=0, persistent_workers=False)
        loader.dataset.update(data_root=str(folder), ann_file='train.txt', other_ann_files=())
    cfg.train_cfg.update(max_epochs=1)
    cfg.param_scheduler = None
    cfg.work_dir = str(folder / 'run')
    return cfg


def runner_of(config, name, **changes):
    changed = Config(config.to_dict())
    changed.update(experiment_name=name, **changes)
    return Runner.from_cfg(changed)


@pytest.fixture(scope='module')
def trained(config):
    runner = runner_of(config, 'average')
    scores = {}
    log = runner.visualizer.add_scalars
    runner.visualizer.add_scalars = lambda values, **more: (
        scores.update(values),
        log(values, **more),
    )
    runner.train()
    return runner, scores


def load(path):
    return torch.load(path, weights_only=True)


def average_of(runner):
    return next(h for h in runner.hooks if type(h).__name__ == 'EMAHook').ema_model.module


def same(one, two):
    return all(torch.equal(one[key], two[key]) for key in two)


@pytest.mark.slow
def test_the_average_is_saved_as_the_weights_and_the_trained_ones_beside(trained):
    runner, _ = trained
    content = load(f'{runner.work_dir}/epoch_1.pth')
    average, weights = average_of(runner).state_dict(), runner.model.state_dict()
    assert same(content['state_dict'], average)
    moved = {key.removeprefix('module.'): x for key, x in content['ema_state_dict'].items()}
    assert same(moved, weights)
    name = 'backbone.bn1.running_mean'  # the statistics are averaged too
    assert not torch.equal(average[name], weights[name])
    assert all(x.is_contiguous() for x in [*content['state_dict'].values(), *moved.values()])
    assert any(not x.is_contiguous() for x in weights.values())


@pytest.mark.slow
def test_the_average_is_validated_and_the_last_checkpoint_scores_the_same(trained, config):
    runner, scores = trained
    assert same(
        load(best_checkpoint(runner.work_dir))['state_dict'], average_of(runner).state_dict()
    )
    last = runner_of(config, 'test', load_from=f'{runner.work_dir}/epoch_1.pth')
    result = last.test()
    assert result['image/mDice'] == pytest.approx(scores['image/mDice'], abs=1e-3)
    plain = runner_of(config, 'plain', load_from=last.cfg.load_from, custom_hooks=[])
    assert plain.test()['image/mDice'] == pytest.approx(result['image/mDice'], abs=1e-3)


@pytest.mark.slow
def test_a_resumed_run_goes_on_with_both(trained, config):
    runner, _ = trained
    resumed = runner_of(config, 'resumed', resume=True)
    resumed.train()  # all epochs are done
    assert resumed.epoch == 1
    assert same(resumed.model.state_dict(), runner.model.state_dict())
    assert same(average_of(resumed).state_dict(), average_of(runner).state_dict())


@pytest.mark.slow
def test_stage_2_starts_from_the_average(trained, config):
    runner, _ = trained
    encoder = Runner.build_model(runner, Config(config.to_dict()).model).backbone
    StrictPretrained(runner.work_dir, prefix='backbone.')(encoder)
    assert same(encoder.state_dict(), average_of(runner).backbone.state_dict())
    assert not same(encoder.state_dict(), runner.model.backbone.state_dict())
