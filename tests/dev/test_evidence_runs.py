"""The planned runs: their configs, what their options change, and their order."""

import functools

import pytest
from helpers import load_script
from mmengine.config import Config

from condseg_mmseg.configs import find_config

plan = load_script('tools/dev/evidence_runs.py')
CHANGE = {'optim_wrapper.optimizer.lr': 3e-3}
RUNS = [
    *plan.search_runs(CHANGE, {}), *plan.table_runs(),
    *plan.minutes_runs({'FPN': 34}), *plan.ablation_runs(),
]  # fmt: skip
read = functools.cache(lambda name: Config.fromfile(find_config(name)))


def value_of(config, key):
    for step in key.split('.'):
        config = config[int(step) if isinstance(config, list) else step]
    return config


def test_every_option_changes_a_value_that_the_config_has():
    for run in RUNS:
        for name in run.configs:
            changed = Config(read(name).to_dict())
            for key, new in run.options.items():
                assert value_of(changed, key) != new  # a wrong key fails
            changed.merge_from_dict(dict(run.options))
            for key, new in run.options.items():
                assert value_of(changed, key) == new
            if run.part == 'search':
                assert changed.train_dataloader.dataset.ann_file == 'search_train.txt'
                assert changed.val_dataloader.dataset.ann_file == 'search_val.txt'


def test_unseen_videos_are_scored_by_the_test_pipeline():
    for configs in plan.METHODS.values():
        config = Config(read(configs[-1]).to_dict())
        assert value_of(config, plan.UNSEEN_MASKS)['type'] == 'LoadBinaryMask'
        config.merge_from_dict(dict(plan.UNSEEN))
        assert config.test_dataloader.dataset.pipeline[2] == dict(
            type='LoadBinaryMask', mode='threshold'
        )
        assert 'mode' not in config.val_dataloader.dataset.pipeline[2]


def test_trials_change_what_they_say():
    config = Config(read(plan.METHODS['ConDSeg'][0]).to_dict())
    steps = config.train_dataloader.dataset.pipeline
    assert (steps[2].type, steps[7].type) == ('RandomResize', 'PhotoMetricDistortion')
    rate = config.optim_wrapper.optimizer.lr
    encoder = rate * config.optim_wrapper.paramwise_cfg.custom_keys.backbone.lr_mult
    assert (rate, encoder) == (2e-3, 5e-4)
    faster = plan.TRIALS['decoder at twice the rate']
    assert faster[plan.RATE] * faster[plan.ENCODER] == pytest.approx(
        encoder
    )  # of the encoder as is


def test_all_methods_take_the_same_iterations():
    for run in plan.table_runs():
        configs = [read(name) for name in run.configs]
        assert sum(config.train_cfg.max_epochs for config in configs) == 20
        assert {config.train_dataloader.batch_size for config in configs} == {8}
        stages = [config.train_cfg.max_epochs for config in configs]
        assert stages in ([20], [5, 15])  # stage 1: a quarter


def test_any_prefix_can_be_published():
    seeds = [run.seed for run in plan.table_runs()]
    assert seeds == sorted(seeds)
    assert len({(run.label, run.seed) for run in plan.table_runs()}) == 7 * 3 == len(seeds)


def test_the_search_tries_five_recipes_and_then_the_two_that_won():
    first, second = plan.search_runs(), plan.search_runs(CHANGE, {})
    assert len(first) == 10
    assert second[:10] == first
    assert len(second) == 10 + 2 * 4
    assert len(plan.search_runs({}, {})) == 10 + 4  # the same recipe won twice
    for run in second:
        assert 'val.txt' not in [v for k, v in run.options.items() if k.endswith('.ann_file')]
