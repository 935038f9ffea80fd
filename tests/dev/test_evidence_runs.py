"""The planned runs: their configs, what their options change, and their order."""

import functools

import pytest
from helpers import load_script
from mmengine.config import Config
from run_queue import METRIC

from condseg_mmseg.configs import find_config

plan = load_script('tools/dev/evidence_runs.py')


def scores(condseg, fpn):
    """Label -> score of the five trials of both."""
    found = {}
    for method, values in (('ConDSeg', condseg), ('FPN', fpn)):
        found |= {f'{method}: {name}': v for name, v in zip(plan.TRIALS, values, strict=True)}
    return found


DECODER, ENCODER, COLOURS, SCALE = list(plan.TRIALS)[1:]
NOTHING = [80.0, 80.49, 79.0, 80.0, 80.0]
BOTH_RATES = [80.0, 80.5, 81.0, 79.0, 80.0]
ONE = [70.0, 70.0, 70.0, 70.0, 71.0]
CHOSEN = dict.fromkeys(plan.METHODS, plan.TRIALS[COLOURS])
SECONDS = {names[-1]: 2.0 if 'ConDSeg' in label else 1.0 for label, names in plan.METHODS.items()}
RUNS = [
    *plan.search_runs(scores(BOTH_RATES, ONE) | {f'ConDSeg: {plan.TOGETHER}': 82.0}),
    *plan.table_runs(CHOSEN), *plan.ablation_runs(CHOSEN), *plan.lite2_runs(CHOSEN),
    *plan.minutes_runs(CHOSEN, dict.fromkeys(plan.OTHERS, 80.0), SECONDS),
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


def test_the_first_metric_scores_every_image():
    for run in RUNS:
        config = read(run.configs[-1])
        assert value_of(config, METRIC).type == 'PerImageBinaryMetric'


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
    for run in plan.table_runs(CHOSEN):
        configs = [read(name) for name in run.configs]
        assert sum(config.train_cfg.max_epochs for config in configs) == 12
        assert {config.train_dataloader.batch_size for config in configs} == {8}
        stages = [config.train_cfg.max_epochs for config in configs]
        assert stages in ([12], [3, 9])  # stage 1: a quarter


def test_the_larger_encoder_changes_nothing_else():
    recipes = {label: {plan.RATE: i} for i, label in enumerate(plan.METHODS)}
    for run in plan.lite2_runs(recipes)[:2]:
        smaller = run.label.removesuffix(', Lite2')
        assert run.options == recipes[smaller]
        for name, other in zip(run.configs, plan.METHODS[smaller], strict=True):
            config, old = (Config(read(x).to_dict()) for x in (name, other))
            assert config.model.backbone.pop('arch') == 'lite2'
            for model in (config.model, old.model):
                (model.neck or model.decode_head).pop('in_channels')
            assert config.to_dict() == old.to_dict()


def test_any_prefix_can_be_published():
    for part in (plan.table_runs, plan.ablation_runs, plan.lite2_runs):
        seeds = [run.seed for run in part(CHOSEN)]
        assert seeds == sorted(seeds)
        assert set(seeds) == {0, 1, 2}
        assert len({(run.label, run.seed) for run in part(CHOSEN)}) == len(seeds)
    assert len(plan.table_runs(CHOSEN)) == 7 * 3


def test_the_search_tries_five_recipes_and_then_the_two_that_won():
    first = plan.search_runs({})
    assert [run.label for run in first] == [
        f'{method}: {name}' for method in ('ConDSeg', 'FPN') for name in plan.TRIALS
    ]
    one_missing = scores(NOTHING, ONE)
    del one_missing[f'FPN: {SCALE}']
    assert plan.search_runs(one_missing) == first
    second = plan.search_runs(scores(NOTHING, ONE))
    assert second[:10] == first
    assert [run.label for run in second[10:]] == [
        f'{method}: {name}' for method in plan.OTHERS for name in ('as FPN', 'as ConDSeg')
    ]
    assert len(plan.search_runs(scores(NOTHING, NOTHING))) == 10 + 4  # the same recipe won twice
    for run in second:
        assert 'val.txt' not in [v for k, v in run.options.items() if k.endswith('.ann_file')]


@pytest.mark.parametrize(
    ('values', 'name'),
    [
        (NOTHING, 'recipe'),  # 0.49 is too little
        ([80.0, 80.5, 79.0, 80.0, 80.0], DECODER),
        ([70.1, 70.1, 70.6, 70.1, 70.1], ENCODER),  # 70.6 - 70.1 < 0.5 in floating point
        ([80.0, 79.0, 79.0, 79.0, 79.0], 'recipe'),
    ],
)
def test_half_a_point_decides(values, name):
    assert plan.choice('FPN', scores(ONE, values)) == plan.TRIALS[name]


def test_two_gains_are_combined_in_one_more_trial():
    known = scores(BOTH_RATES, ONE)
    label = f'ConDSeg: {plan.TOGETHER}'
    runs = plan.search_runs(known)
    assert [run.label for run in runs[5:6]] == [label]
    assert len(runs) == 11  # the others wait for it
    assert plan.choice('ConDSeg', known) is None
    together = plan.choice('ConDSeg', known | {label: 81.01})
    assert together == {plan.RATE: 4e-3}  # a quarter of it, 1e-3, for the encoder
    assert plan.choice('ConDSeg', known | {label: 81.0}) == plan.TRIALS[ENCODER]
    decoder_and_scale = scores([80.0, 81.0, 80.0, 80.0, 80.6], ONE)
    options = plan.search_runs(decoder_and_scale)[5].options
    assert (options[plan.RATE], options[plan.ENCODER]) == (4e-3, 0.125)
    assert options['train_dataloader.dataset.pipeline.2.ratio_range'] == (0.75, 1.25)


def test_what_the_search_chose_for_every_method():
    known = scores(NOTHING, ONE)
    assert plan.chosen(known) is None
    for label in plan.OTHERS:
        known |= {f'{label}: as FPN': 70.0, f'{label}: as ConDSeg': 70.0}  # a tie
    known['PraNet: as ConDSeg'] = 70.01
    recipe, scale = plan.TRIALS['recipe'], plan.TRIALS[SCALE]
    chosen = {label: scale for label in plan.METHODS}
    chosen |= {label: recipe for label in ('ConDSeg, two stages', 'ConDSeg', 'PraNet')}
    assert plan.chosen(known) == chosen
    same = scores(NOTHING, NOTHING) | {f'{label}: as FPN': 70.0 for label in plan.OTHERS}
    assert plan.chosen(same) == dict.fromkeys(plan.METHODS, recipe)
