"""Every shipped config builds, trains a step and predicts, at a small size."""

import re

import numpy as np
import pytest
import torch
from helpers import ROOT
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

CONFIGS = sorted(
    path.relative_to(ROOT / 'configs').as_posix()
    for path in (ROOT / 'configs').rglob('*.py')
    if '_base_' not in path.parts
)
CONDSEG = [name for name in CONFIGS if name.startswith('condseg/')]


def build(name):
    init_default_scope('mmseg')
    cfg = Config.fromfile(ROOT / 'configs' / name)
    if cfg.model.backbone.type == 'EfficientNetLite':
        pytest.importorskip('efficientnet_lite_pytorch', reason='needs the extra "lite"')
    return cfg, MODELS.build(cfg.model)


def batch(size, n=2):
    samples = [
        SegDataSample(
            gt_sem_seg=PixelData(data=torch.randint(0, 2, (1, *size))),
            metainfo={
                'img_shape': size,
                'ori_shape': (41, 57),
                'pad_shape': size,
                'background_mask': np.zeros(size, np.uint8),  # read by the preset official only
            },
        )
        for _ in range(n)
    ]
    return torch.randn(n, 3, *size), samples


def test_there_are_configs():
    assert len(CONDSEG) >= 4
    assert len(CONFIGS) > len(CONDSEG)


@pytest.mark.parametrize('name', CONFIGS)
def test_config_trains_a_step_and_predicts_at_the_original_size(name):
    _, model = build(name)
    inputs, samples = batch((64, 64))
    model.train()
    losses = model(inputs, samples, mode='loss')
    total = sum(value for key, value in losses.items() if 'loss' in key)
    total.backward()
    assert torch.isfinite(total)
    assert not [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    model.eval()
    with torch.no_grad():
        result = model(inputs, samples, mode='predict')
    assert result[0].pred_sem_seg.data.shape == (1, 41, 57)
    assert set(result[0].pred_sem_seg.data.unique().tolist()) <= {0, 1}


@pytest.mark.parametrize('name', CONDSEG)
def test_condseg_logs_its_losses_and_runs_nothing_of_training_in_prediction(name):
    _, model = build(name)
    inputs, samples = batch((64, 64))
    losses = model.train()(inputs, samples, mode='loss')
    expected = {'decode.loss_mask', 'aux.loss_fg', 'aux.loss_bg', 'aux.loss_comp'}
    assert {key for key in losses if 'loss' in key} == expected
    extra = {'aux.beta_fg', 'aux.beta_bg', 'decode.dice'}
    assert set(losses) - expected == extra
    assert not any(losses[key].requires_grad for key in extra)
    calls = []
    for module in (model.auxiliary_head, model.neck.sid.uncertainty):
        module.register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        model.eval()(inputs, samples, mode='predict')
        assert model(inputs, mode='tensor').shape == (2, 1, 64, 64)
        assert len(model.extract_feat(inputs)) == 4
    assert not calls


@pytest.mark.parametrize('size', [(32, 32), (33, 47), (50, 250), (64, 96)])
def test_any_input_size_from_32_works(size):
    _, model = build('condseg/condseg_r18_1xb8-8e_demo-96x96.py')
    inputs, samples = batch(size)
    losses = model.train()(inputs, samples, mode='loss')
    assert torch.isfinite(losses['decode.loss_mask'])
    with torch.no_grad():
        logits = model.eval()(inputs, mode='tensor')
    stem = [2 * -(-side // 2) for side in size]
    assert list(logits.shape[2:]) == stem  # the input size where both sides are even


def test_official_differs_from_default_in_the_named_switches_only():
    def flat(node, path=''):
        if isinstance(node, dict):
            return {k: v for key in node for k, v in flat(node[key], f'{path}.{key}').items()}
        return {path.lstrip('.'): node}

    stem = 'condseg/condseg_r50{}_1xb12-300e_kvasir-seg-256x256.py'
    ours, theirs = (flat(build(stem.format(x))[0].to_dict()) for x in ('', '_official'))
    changed = {k for k in {*ours, *theirs} if ours.get(k, '') != theirs.get(k, '')}
    model = {k for k in changed if k.startswith('model.')}
    assert {k.removeprefix('model.') for k in model} == {
        'data_preprocessor.mean',
        'data_preprocessor.std',
        'data_preprocessor.bgr_to_rgb',
        'decode_head.loss_decode.double_sigmoid',
        'auxiliary_head.background_target',
        'auxiliary_head.loss_decode.double_sigmoid',
        'auxiliary_head.loss_decode.comp_softmax',
        'auxiliary_head.loss_decode.detach_beta',
        'auxiliary_head.loss_decode.max_beta',
    }
    # what is left are pipelines (transforms one by one) and the metric, and nothing beside them
    places = (r'train_dataloader\.dataset\.pipeline', r'(val|test)_dataloader\.dataset\.pipeline')
    pattern = '|'.join(
        (*places, r'(train|test|tta)_pipeline', r'(val|test)_evaluator', r'score\..*')
    )
    assert [k for k in changed - model if not re.fullmatch(pattern, k)] == []


def test_published_size():
    _, model = build('condseg/condseg_r50_1xb12-300e_kvasir-seg-256x256.py')

    def millions(module):
        return sum(p.numel() for p in module.parameters()) / 1e6

    assert millions(model) == pytest.approx(45.55, abs=5e-3)
    training_only = millions(model.auxiliary_head) + millions(model.neck.sid.uncertainty)
    assert training_only == pytest.approx(9.20, abs=5e-3)
