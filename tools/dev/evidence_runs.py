"""The runs of docs/results/plan.md, in order, as data; evidence.py makes them.

Options are dotted keys of a config and their new values. They change every config of a run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

Options = Mapping[str, Any]
Scores = Mapping[str, float]
"""Label of a finished trial -> mDice of its last weights, not averaged."""
SIZE = 'kvasir-seg-160x160'
SEEDS = (0, 1, 2)


class Planned(NamedTuple):
    """One run, which evidence.py makes a ``run_queue.Run`` of."""

    part: str  # search, table, minutes, ablation or lite2
    label: str
    configs: tuple[str, ...]  # by name; of stage 1 and stage 2, or one
    options: Options
    seed: int


def one(method: str, epochs: int = 12, encoder: str = 'lite0') -> tuple[str, ...]:
    """The config of a method."""
    return (f'{method}_{encoder}_1xb8-{epochs}e_{SIZE}',)


# In the order in which each seed trains them.
METHODS = {
    'ConDSeg, two stages': (*one('condseg-stage1', 3), *one('condseg', 9)),
    'ConDSeg': one('condseg'),
    'FPN': one('fpn'),
    'U-Net': one('unet'),
    'U-Net++': one('unetpp'),
    'PraNet': one('pranet'),
    'FCN head': one('fcn'),
}
ABLATION = {'Encoder, light head': one('baseline'), '+ SID and CDFA': one('baseline-sid-cdfa')}
LITE2 = {
    'ConDSeg, two stages, Lite2': (
        *one('condseg-stage1', 3, 'lite2'), *one('condseg', 9, 'lite2'),
    ),
    'FPN, Lite2': one('fpn', encoder='lite2'),
}  # fmt: skip

# What scores a checkpoint on the unseen videos: masks with noise of compression between 0 and 255.
UNSEEN_MASKS = 'test_dataloader.dataset.pipeline.2'
UNSEEN: Options = {
    'test_dataloader.dataset.data_root': 'data/cvc-clinicdb-odd/',
    'test_dataloader.dataset.ann_file': 'all.txt',
    f'{UNSEEN_MASKS}.mode': 'threshold',
}
POLYP_FREE: Options = {
    'test_dataloader.dataset.data_root': 'data/kvasir-seg-polyp-free/',
    'test_dataloader.dataset.ann_file': 'all.txt',
}
LIGHT: Options = {
    'test_dataloader.dataset.data_root': 'data/kvasir-seg-other-light/',
    'test_dataloader.dataset.ann_file': 'all.txt',
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
TOGETHER = 'what gained, together'
OTHERS = ('U-Net', 'U-Net++', 'PraNet', 'FCN head')
BASELINES = ('FPN', *OTHERS)
GAIN = 0.5  # points of mDice from which a change counts


def epochs(number: int) -> Options:
    """Another number of epochs."""
    return {'train_cfg.max_epochs': number}


def gain(method: str, name: str, scores: Scores) -> float:
    """Points by which a trial is ahead of the recipe."""
    return round(scores[f'{method}: {name}'] - scores[f'{method}: recipe'], 2)


def trials(method: str, scores: Scores) -> dict[str, Options]:
    """All trials of ConDSeg or FPN.

    Args:
        method: Its label.
        scores: Of the trials that are finished.

    Returns:
        Five single ones; and one more, if two of them gained, once all are finished.
    """
    if any(f'{method}: {name}' not in scores for name in TRIALS):
        return TRIALS
    good = [options for name, options in TRIALS.items() if gain(method, name, scores) >= GAIN]
    if len(good) < 2:
        return TRIALS
    together: dict[str, Any] = {}
    for options in good:
        together |= options
    if RATE in together and TRIALS['encoder at twice the rate'] in good:
        del together[ENCODER]  # the same share of a decoder at twice the rate doubles both
    return TRIALS | {TOGETHER: together}


def choice(method: str, scores: Scores) -> Options | None:
    """What the trials of ConDSeg or FPN chose; None while one is missing."""
    tried = trials(method, scores)
    if any(f'{method}: {name}' not in scores for name in tried):
        return None
    best = max(tried, key=lambda name: scores[f'{method}: {name}'])
    return tried[best] if gain(method, best, scores) >= GAIN else TRIALS['recipe']


def search_runs(scores: Scores) -> list[Planned]:
    """Trials of 6 epochs on 780 of the 880 training images, scored on the other 100.

    Args:
        scores: Of the trials that are finished. They decide whether there are more.

    Returns:
        Trials of ConDSeg, of FPN and, once both have chosen, those of the other baselines.
    """
    lists: dict[str, Any] = {
        f'{part}_dataloader.dataset.ann_file': f'search_{name}.txt'
        for part, name in (('train', 'train'), ('val', 'val'), ('test', 'val'))
    }
    lists['train_dataloader.dataset.other_ann_files'] = ('val.txt', 'search_val.txt')
    tried = {label: trials(label, scores) for label in ('ConDSeg', 'FPN')}
    condseg, fpn = (choice(label, scores) for label in tried)
    if fpn is not None and condseg is not None:
        both = {'as FPN': fpn} if fpn == condseg else {'as FPN': fpn, 'as ConDSeg': condseg}
        tried |= {label: both for label in OTHERS}
    return [
        Planned('search', f'{label}: {name}', METHODS[label], {**lists, **epochs(6), **options}, 0)
        for label, options_of in tried.items()
        for name, options in options_of.items()
    ]


def chosen(scores: Scores) -> dict[str, Options] | None:
    """What the search chose for every method; None while a trial is missing."""
    condseg, fpn = choice('ConDSeg', scores), choice('FPN', scores)
    missing = any(run.label not in scores for run in search_runs(scores))
    if missing or condseg is None or fpn is None:
        return None
    result = {'ConDSeg, two stages': condseg, 'ConDSeg': condseg, 'FPN': fpn}
    for label in OTHERS:
        as_fpn = scores[f'{label}: as FPN']
        result[label] = condseg if scores.get(f'{label}: as ConDSeg', as_fpn) > as_fpn else fpn
    return result


def table_runs(choices: Mapping[str, Options]) -> list[Planned]:
    """Every method with seed 0, then with seed 1, then with seed 2.

    Args:
        choices: Of :func:`chosen`.
    """
    return _every_seed('table', METHODS, choices)


def minutes_runs(
    choices: Mapping[str, Options], dice: Scores, seconds: Mapping[str, float]
) -> list[Planned]:
    """FPN and the best other baseline, trained as many minutes as ConDSeg.

    Args:
        choices: Of :func:`chosen`.
        dice: Baseline -> mDice on the 120 images, of the last checkpoints of the table, the mean
            over the seeds.
        seconds: Config -> seconds per step.
    """
    found = []
    for label in ('FPN', max(OTHERS, key=lambda label: dice[label])):
        ours, baseline = (seconds[METHODS[name][-1]] for name in ('ConDSeg', label))
        options = {**choices[label], **epochs(round(12 * ours / baseline))}
        found.append(Planned('minutes', label, METHODS[label], options, 0))
    return found


def ablation_runs(choices: Mapping[str, Options]) -> list[Planned]:
    """What the table lacks: its rows of ConDSeg are the two last steps of the ablation."""
    return _every_seed('ablation', ABLATION, dict.fromkeys(ABLATION, choices['ConDSeg']))


def lite2_runs(choices: Mapping[str, Options]) -> list[Planned]:
    """The methods of the primary comparison with a larger encoder, by the same recipes."""
    recipes = {label: choices[label.removesuffix(', Lite2')] for label in LITE2}
    return _every_seed('lite2', LITE2, recipes)


def _every_seed(
    part: str, methods: Mapping[str, tuple[str, ...]], choices: Mapping[str, Options]
) -> list[Planned]:
    return [
        Planned(part, label, configs, choices[label], seed)
        for seed in SEEDS
        for label, configs in methods.items()
    ]
