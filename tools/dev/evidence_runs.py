"""The runs of docs/results/plan.md, in order, as data for the queue.

    python tools/dev/evidence_runs.py                           (prints them)

Options are dotted keys of a config and their new values. They change every config of a run.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

Options = Mapping[str, Any]
SIZE = 'kvasir-seg-160x160'
SEEDS = (0, 1, 2)


class Planned(NamedTuple):
    """One run: what ``run_queue.Run`` takes, but for its folder."""

    part: str  # search, table, minutes or ablation
    label: str
    configs: tuple[str, ...]  # by name; of stage 1 and stage 2, or one
    options: Options
    seed: int


def one(method: str, epochs: int = 20) -> tuple[str, ...]:
    """The config of a method with the encoder of condseg_lite0."""
    return (f'{method}_lite0_1xb8-{epochs}e_{SIZE}',)


# In the order in which each seed trains them.
METHODS = {
    'ConDSeg, two stages': (*one('condseg-stage1', 5), *one('condseg', 15)),
    'ConDSeg': one('condseg'),
    'FPN': one('fpn'),
    'U-Net': one('unet'),
    'U-Net++': one('unetpp'),
    'PraNet': one('pranet'),
    'FCN head': one('fcn'),
}

# What scores a checkpoint on the unseen videos: masks with noise of compression between 0 and 255.
UNSEEN_MASKS = 'test_dataloader.dataset.pipeline.2'
UNSEEN: Options = {
    'test_dataloader.dataset.data_root': 'data/cvc-clinicdb-odd/',
    'test_dataloader.dataset.ann_file': 'all.txt',
    f'{UNSEEN_MASKS}.mode': 'threshold',
}

COLOUR = 'train_dataloader.dataset.pipeline.7'
RATE = 'optim_wrapper.optimizer.lr'
ENCODER = 'optim_wrapper.paramwise_cfg.custom_keys.backbone.lr_mult'
# One change each to the recipe of the configs.
TRIALS: dict[str, Options] = {
    'recipe': {},
    'decoder at twice the rate': {RATE: 4e-3, ENCODER: 0.125},
    'encoder at twice the rate': {ENCODER: 0.5},
    'colours changed more': {  # the defaults of PhotoMetricDistortion
        f'{COLOUR}.brightness_delta': 32,
        f'{COLOUR}.contrast_range': (0.5, 1.5),
        f'{COLOUR}.saturation_range': (0.5, 1.5),
        f'{COLOUR}.hue_delta': 18,
    },
    'scale 0.75 to 1.25': {'train_dataloader.dataset.pipeline.2.ratio_range': (0.75, 1.25)},
}
# Filled in after the search by the rule of the plan, before the first run of the table.
CHOSEN: dict[str, Options] = {label: {} for label in METHODS}


def epochs(number: int) -> Options:
    """Another number of epochs."""
    return {'train_cfg.max_epochs': number}


def search_runs(fpn: Options | None = None, condseg: Options | None = None) -> list[Planned]:
    """Trials of 6 epochs on 780 of the 880 training images, scored on the other 100.

    Args:
        fpn: What the trials of FPN chose. Default None: not known yet.
        condseg: The same of ConDSeg. With both given, the other baselines try these two.

    Returns:
        Trials of ConDSeg and FPN, then those of the others.
    """
    lists: dict[str, Any] = {
        f'{part}_dataloader.dataset.ann_file': f'search_{name}.txt'
        for part, name in (('train', 'train'), ('val', 'val'), ('test', 'val'))
    }
    lists['train_dataloader.dataset.other_ann_files'] = ('val.txt', 'search_val.txt')
    trials = {label: TRIALS for label in ('ConDSeg', 'FPN')}
    if fpn is not None and condseg is not None:
        both = {'as FPN': fpn} if fpn == condseg else {'as FPN': fpn, 'as ConDSeg': condseg}
        trials |= {label: both for label in ('U-Net', 'U-Net++', 'PraNet', 'FCN head')}
    return [
        Planned('search', f'{label}: {name}', METHODS[label], lists | epochs(6) | options, 0)
        for label, options_of in trials.items()
        for name, options in options_of.items()
    ]


def table_runs() -> list[Planned]:
    """Every method with seed 0, then with seed 1, then with seed 2."""
    return [
        Planned('table', label, configs, CHOSEN[label], seed)
        for seed in SEEDS
        for label, configs in METHODS.items()
    ]


def minutes_runs(longer: Mapping[str, int]) -> list[Planned]:
    """Baselines trained as long as ConDSeg.

    Args:
        longer: Label of a baseline -> epochs that take it as long as ConDSeg takes for its own.
    """
    return [
        Planned('minutes', label, METHODS[label], CHOSEN[label] | epochs(number), 0)
        for label, number in longer.items()
    ]


def ablation_runs() -> list[Planned]:
    """What the table lacks: its rows of ConDSeg are the two last steps of the ablation."""
    steps = {'Encoder, light head': 'baseline', '+ SID and CDFA': 'baseline-sid-cdfa'}
    return [
        Planned('ablation', label, one(method), CHOSEN['ConDSeg'], seed)
        for seed in SEEDS
        for label, method in steps.items()
    ]


if __name__ == '__main__':
    for run in [*search_runs({}, {}), *table_runs(), *ablation_runs()]:
        sys.stdout.write(f'{run.part:9} {run.label:36} seed {run.seed}  {" ".join(run.configs)}\n')
