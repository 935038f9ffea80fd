"""FuseConvBNHook: the same logits, no BatchNorm left, and no fusion where it would be wrong."""

import logging

import numpy as np
import pytest
import torch
from helpers import ROOT
from mmcv.cnn import ConvModule
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmseg.registry import HOOKS, MODELS
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from condseg_mmseg.engine import FuseConvBNHook, fuse_model

DEMO = 'configs/condseg/condseg_r18_1xb8-4e_demo-96x96.py'
STAGE1 = 'configs/condseg/condseg-stage1_r18_1xb8-3e_demo-96x96.py'


def norms(model):
    return [module for module in model.modules() if isinstance(module, _BatchNorm)]


def randomise(model):
    """Statistics and weights as after training; fresh ones (0, 1) would make fusion trivial."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for norm in norms(model):
            shape = norm.running_mean.shape
            norm.running_mean.copy_(0.3 * torch.randn(shape, generator=generator))
            norm.running_var.copy_(0.5 + torch.rand(shape, generator=generator))
            norm.weight.copy_(0.5 + torch.rand(shape, generator=generator))
            norm.bias.copy_(0.3 * torch.randn(shape, generator=generator))
    return model


def logits(model, images):
    with torch.no_grad():
        return model.encode_decode(images, [dict(img_shape=images.shape[2:])] * len(images))


@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize('config', [DEMO, STAGE1])
def test_the_logits_stay_and_no_batch_norm_is_left(config, memory_format):
    model = MODELS.build(Config.fromfile(ROOT / config).model)
    model = randomise(model).eval().to(memory_format=memory_format)
    images = torch.randn(2, 3, 96, 80).contiguous(memory_format=memory_format)
    before, count = logits(model, images), len(norms(model))
    assert fuse_model(model) == count > 18
    for part in ('backbone', 'neck', 'decode_head'):
        assert not norms(getattr(model, part, nn.Identity()) or nn.Identity()), part
    after = logits(model, images)
    assert not torch.equal(before, after)  # rounding differs, so that something was fused
    assert (after - before).abs().max() <= 1e-5 * before.abs().max()
    assert before.std() > 1e-3
    assert fuse_model(model) == 0
    assert torch.equal(logits(model, images), after)


def test_hand_values():
    """Weight 2, bias 1; mean 3, var 4 - eps, gamma 6, beta 5: 6 (2 x + 1 - 3) / 2 + 5 = 6 x - 1."""
    conv, norm = nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1)
    model = nn.Sequential(conv, norm).eval()
    with torch.no_grad():
        for tensor, value in (
            (conv.weight, 2), (conv.bias, 1), (norm.running_mean, 3),
            (norm.running_var, 4 - norm.eps), (norm.weight, 6), (norm.bias, 5),
        ):  # fmt: skip
            tensor.fill_(value)
    assert fuse_model(model) == 1
    assert model[0].weight.item() == pytest.approx(6)
    assert model[0].bias.item() == pytest.approx(-1)
    assert isinstance(model[1], nn.Identity)
    assert not model[0].weight.grad_fn


def test_a_norm_without_a_convolution_stays():
    model = nn.Sequential(nn.BatchNorm2d(3), nn.ConvTranspose2d(3, 3, 2), nn.BatchNorm2d(3)).eval()
    assert fuse_model(model) == 0
    assert len(norms(model)) == 2


def shared_conv():
    conv = nn.Conv2d(3, 3, 1)
    return nn.Sequential(
        nn.Sequential(conv, nn.BatchNorm2d(3)), nn.Sequential(conv, nn.BatchNorm2d(3))
    )


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (
            lambda: nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), nn.BatchNorm2d(3)),
            r'2 cannot be fused: .* directly: 1 \(ReLU\) lies between them',
        ),
        (
            lambda: nn.Sequential(
                ConvModule(3, 3, 1, norm_cfg=dict(type='BN'), order=('conv', 'act', 'norm'))
            ),
            r"0\.bn cannot be fused: .* order=\('conv', 'act', 'norm'\) lies between",
        ),
        (
            lambda: nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3, affine=False)),
            'no weight',
        ),
        (
            lambda: nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3, track_running_stats=False)),
            'no running statistics',
        ),
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(3)), '3 channels.*convolution 4'),
        (shared_conv, 'followed by more than one BatchNorm'),
        (lambda: nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)).train(), 'training mode'),
    ],
)
def test_what_cannot_be_fused_is_refused_and_unchanged(make, message):
    model = make()
    model.train(message == 'training mode')
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        fuse_model(model)
    assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


class _Net(BaseModel):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.block = randomise(ConvModule(2, 2, 3, norm_cfg=dict(type='BN')))

    def forward(self, x, mode='tensor'):
        out = self.block(x)
        return dict(loss=out.square().mean()) if mode == 'loss' else [out.mean().item()]


class _Mean(BaseMetric):
    def process(self, data_batch, data_samples):
        self.results += data_samples

    def compute_metrics(self, results):
        return dict(mean=float(np.mean(results)))


def runner(tmp_path, name, hooks, model=None):
    loader = dict(
        dataset=[dict(x=torch.full((2, 6, 6), float(i))) for i in range(4)],
        batch_size=2,
        sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='default_collate'),
    )
    return Runner(
        model=model or _Net(),
        work_dir=str(tmp_path),
        train_dataloader=loader,
        train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        test_dataloader=loader,
        test_cfg=dict(),
        test_evaluator=_Mean(),
        default_hooks=dict(checkpoint=None) | hooks,
        experiment_name=f'fuse_{name}',
        default_scope='mmseg',
    )


FUSE = dict(fuse=dict(type='FuseConvBNHook'))


def test_the_runner_tests_the_fused_model(tmp_path):
    plain = runner(tmp_path, 'plain', {}).test()
    fused = runner(tmp_path, 'fused', FUSE)
    records, handler = [], logging.Handler()
    handler.emit = lambda record: records.append(record.getMessage())
    MMLogger.get_current_instance().addHandler(handler)
    scores = fused.test()
    assert scores['mean'] == pytest.approx(plain['mean'], rel=1e-5)
    assert scores['mean'] > 0
    assert not norms(fused.model)
    assert 'FuseConvBNHook: 1 BatchNorm layers folded into convolutions, 0 left' in records
    assert fused.test() == scores  # a second time there is nothing left to do


def test_the_module_of_a_wrapper_is_fused(tmp_path):
    from mmengine.registry import MODEL_WRAPPERS

    class Wrapper(nn.Module):
        def __init__(self, module):
            super().__init__()
            self.module = module

        def test_step(self, data):
            return self.module.test_step(data)

    MODEL_WRAPPERS.register_module(module=Wrapper, name='FuseTestWrapper')
    test = runner(tmp_path, 'wrapped', FUSE, Wrapper(_Net()))
    test.test()
    assert not norms(test.model)


def test_training_is_refused_before_the_first_step(tmp_path):
    train = runner(tmp_path, 'train', FUSE)
    with pytest.raises(RuntimeError, match='cannot be trained'):
        train.train()
    assert train.iter == 0
    assert len(norms(train.model)) == 1


def test_averaged_weights_are_refused(tmp_path):
    test = runner(tmp_path, 'ema', FUSE | dict(ema=dict(type='EMAHook')))
    with pytest.raises(RuntimeError, match='take EMAHook out'):
        test.test()
    assert len(norms(test.model)) == 1


def test_it_is_registered():
    assert HOOKS.get('FuseConvBNHook') is FuseConvBNHook
