"""The constants of a shipped config, read from the objects that mmseg and mmengine build of it."""

import functools

import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import HOOKS, PARAM_SCHEDULERS, init_default_scope
from mmseg.registry import METRICS, MODELS, TRANSFORMS, WEIGHT_INITIALIZERS
from shipped_configs import CONFIGS, load, network
from torch import nn

import condseg_mmseg  # noqa: F401

# What a base class sets, or a run, and no recipe chooses.
OTHERS = {
    *('training', 'meta_keys', 'backend_args', 'file_client_args', 'imdecode_backend', 'results'),
    *('collect_device', 'collect_dir', 'csv_path', 'table', 'ignore_empty', 'to_float32', 'begin'),
    *('interval_exp_name', 'wait_count', 'best_score', 'optimizer', 'last_step', 'verbose'),
    *('loss_name', 'init_cfg', 'output_dir', 'format_only', 'nan_to_num', 'scale_factor', 'beta'),
    *('strict', 'num_bad_epochs', 'resize', 'resize_cfg', 'backend', 'global_step', 'extra'),
    *('clip_object_border', 'conv_cfg', 'norm_cfg', 'act_cfg', 'by_epoch', 'center', 'auto_bound'),
    *('input_transform', 'sampler', 'dropout', 'min_values', 'stopping_threshold', 'check_finite'),
    'reduce_over_ranks',
    *('strict_load', 'with_cp', 'rule_worse', 'cooldown_counter', 'swap_seg_labels', 'map_names'),
    *('whole_names', 'prefix', 'enabled_by_epoch', 'begin_iter', 'begin_epoch', 'bootstrap_seed'),
    *('size_groups', 'bootstrap', 'cooldown', 'eps', 'color_type', 'base_values', 'anneal_func'),
    *('param_name', 'best', 'ema_cfg'),
}


def text(thing, *left_out):
    """An object as its class and its public attributes, in the order in which it sets them."""
    values = {k: v for k, v in vars(thing).items() if not k.startswith('_')}
    kept = [f'{k}={v}' for k, v in values.items() if k not in OTHERS and k not in left_out]
    return ' '.join([type(thing).__name__, *kept])


def constants(name):
    """Row -> value of a config."""
    init_default_scope('mmseg')
    cfg = load(name)
    same = _first_with(network(name))
    found = dict(_data(cfg)) | dict(_input(MODELS.build(cfg.model.data_preprocessor)))
    found |= _start(cfg.model.backbone)
    return found | dict(_model(_network(same))) | dict(_training(cfg, _network(same)))


@functools.cache
def _first_with(text_of_network):
    return next(name for name in CONFIGS if network(name) == text_of_network)


@functools.cache
def _network(name):
    """The network without memory for its weights."""
    with torch.device('meta'):
        return MODELS.build(dict(load(name).model.to_dict(), data_preprocessor=None))


def _data(cfg):
    train, val, test = (cfg[f'{part}_dataloader'] for part in ('train', 'val', 'test'))
    yield 'batch', train.batch_size
    yield 'drop last, shuffle', (train.drop_last, train.sampler.shuffle, val.sampler.shuffle)
    yield 'train', [_transform(t) for t in train.dataset.pipeline]
    yield 'val', [_transform(t) for t in val.dataset.pipeline]
    assert test.dataset.pipeline == val.dataset.pipeline
    ours, of_mmseg = map(METRICS.build, cfg.val_evaluator)
    yield 'scores', [text(ours), text(ours.extra), text(of_mmseg)]
    assert cfg.test_evaluator == cfg.val_evaluator


def _transform(cfg):
    thing = TRANSFORMS.build(cfg)
    return text(thing) + (f' {thing.resize_cfg}' if hasattr(thing, 'resize_cfg') else '')


def _input(made):
    yield 'mean, std', [[round(v.item(), 3) for v in x.flatten()] for x in (made.mean, made.std)]
    upstream = getattr(made, 'channel_conversion', None)  # the forks' name has an underscore
    yield 'BGR to RGB', getattr(made, '_channel_conversion', upstream)
    yield 'size, padding', (made.size, made.pad_val, made.seg_pad_val)
    if hasattr(made, 'strong_view'):
        yield 'strong view', [str(step) for step in made.strong_view.steps]
        yield 'strong view on', (made.channel_order, made._swap, made.strong_view.same_on_batch)


def _start(cfg):
    if not cfg.get('init_cfg'):
        return {}
    return {'start': text(WEIGHT_INITIALIZERS.build(cfg.init_cfg), 'checkpoint', 'map_location')}


def _model(model):
    yield 'segmentor', type(model).__name__
    backbone = model.backbone
    keys = ('depth', 'out_indices', 'strides', 'dilations', 'style', 'norm_eval', 'frozen_stages')
    keys += ('base_channels', 'stem_channels')
    kept = {k: getattr(backbone, k) for k in keys if hasattr(backbone, k)}
    yield 'encoder', ' '.join([type(backbone).__name__, *(f'{k}={v}' for k, v in kept.items())])
    if hasattr(backbone, '_drop_rates'):
        yield 'skipped blocks', backbone._drop_rates[-1] > 0
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    yield 'BatchNorm', sorted({(m.eps, m.momentum) for m in norms})
    if model.with_neck and hasattr(model.neck, 'cdfa'):
        neck = model.neck
        yield 'neck', text(neck)
        yield 'dilations', [branch[0].conv.dilation[0] for branch in neck.enhance[0].branches]
        yield 'gate', neck.enhance[0].branches[0][1].mlp[0].out_channels
        yield 'SID widths', [c.out_channels for c in _convolutions(neck.sid.foreground)]
        yield 'CDFA', ' | '.join(sorted({text(block) for block in neck.cdfa}))
    yield 'head', text(model.decode_head)
    yield 'loss', text(model.decode_head.loss_decode)
    if model.with_auxiliary_head:
        yield 'SID head', text(model.auxiliary_head)
        yield 'SID loss', text(model.auxiliary_head.loss_decode)
    if hasattr(model, 'loss_consistency'):
        yield 'consistency', text(model.loss_consistency)


def _convolutions(module):
    return [m for m in module.modules() if isinstance(m, nn.Conv2d)]


def _training(cfg, model):
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    optimizer = wrapper.optimizer
    encoder = {id(p) for p in model.backbone.parameters()}
    rates = [set(), set()]
    for group in optimizer.param_groups:
        for parameter in group['params']:
            rates[id(parameter) not in encoder].add(group['lr'])
    default = optimizer.defaults
    yield 'optimizer', (type(optimizer).__name__, *(default[k] for k in ('betas', 'weight_decay')))
    yield 'rate of the encoder, of the rest', tuple(map(sorted, rates))
    yield 'clip, accumulate', (wrapper.clip_grad_kwargs, wrapper._accumulative_counts)
    schedules = cfg.param_scheduler
    schedules = schedules if isinstance(schedules, (list, tuple)) else [schedules]
    yield 'schedule', [_schedule(s, wrapper, cfg.train_cfg.max_epochs) for s in schedules]
    yield 'epochs, validation every', (cfg.train_cfg.max_epochs, cfg.train_cfg.val_interval)
    yield 'hooks', [_hook(HOOKS.build(h)) for h in cfg.custom_hooks]
    kept = HOOKS.build(cfg.default_hooks.checkpoint)
    yield 'checkpoints', (kept.interval, kept.max_keep_ckpts, kept.save_best, kept.rules)
    yield 'scaled with the batch', (cfg.auto_scale_lr.enable, cfg.auto_scale_lr.base_batch_size)
    yield 'seed', cfg.randomness.seed


def _hook(made):
    return text(made) + (f' {made.ema_cfg}' if hasattr(made, 'ema_cfg') else '')


def _schedule(cfg, wrapper, epochs):
    """Built for 10 iterations an epoch."""
    cfg = {'end': epochs, **cfg}
    kind, by_iteration = PARAM_SCHEDULERS.get(cfg.pop('type')), cfg.pop('convert_to_iter_based', 0)
    if not by_iteration:
        cfg.pop('end')
        return text(kind(wrapper, **cfg), 'end')
    return text(kind.build_iter_from_epoch(wrapper, epoch_length=10, **cfg))
