"""CompileHook: what it compiles, that values stay, what it refuses."""

import copy
import pickle
from types import SimpleNamespace

import pytest
import torch
from helpers import ROOT
from mmengine.config import Config
from mmengine.hooks import EMAHook
from mmengine.model import MMDistributedDataParallel
from mmengine.structures import PixelData
from mmseg.registry import HOOKS, MODELS
from mmseg.structures import SegDataSample
from torch._dynamo.utils import counters

from condseg_mmseg.models.layers import resize_to

STAGE_1 = ROOT / 'configs' / 'condseg' / 'condseg-stage1_r18_1xb8-3e_demo-96x96.py'
DEMO = ROOT / 'configs' / 'condseg' / 'condseg_r18_1xb8-4e_demo-96x96.py'


def build():
    torch.manual_seed(0)
    return MODELS.build(Config.fromfile(DEMO).model)


def losses(model):
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(2, 3, 32, 48, generator=generator)
    masks = torch.rand(2, 1, 32, 48, generator=generator) > 0.7
    samples = [SegDataSample(gt_sem_seg=PixelData(data=m.long())) for m in masks]
    return {k: float(v.detach()) for k, v in model(images, samples, mode='loss').items()}


@pytest.mark.slow
def test_training_runs_compiled_without_a_break_and_gives_the_same_losses():
    torch.compiler.reset()
    counters.clear()
    expected = losses(build())
    hook, model = HOOKS.build(dict(type='CompileHook', backend='aot_eager')), build()
    wrapped = MMDistributedDataParallel.__new__(MMDistributedDataParallel)  # no process group
    torch.nn.Module.__init__(wrapped)
    wrapped.module = model
    hook.before_run(SimpleNamespace(model=wrapped))
    actual = losses(model)
    assert actual == pytest.approx(expected, rel=1e-4)
    assert counters['stats']['unique_graphs'] == 3  # features, decode head, auxiliary head
    assert not counters['graph_break']
    compiled = model.extract_feat
    hook.before_run(SimpleNamespace(model=model))  # e.g. a test after the training
    assert model.extract_feat is compiled


def compiled_model():
    model = build()
    HOOKS.build(dict(type='CompileHook', backend='eager')).before_run(SimpleNamespace(model=model))
    return model


@pytest.mark.parametrize('duplicate', [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_is_the_plain_network_with_weights_of_its_own(duplicate):
    model, images = compiled_model().eval(), torch.ones(1, 3, 32, 48)
    twin = duplicate(duplicate(model))
    assert twin.state_dict().keys() == model.state_dict().keys()
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()  # of the original only
        expected, actual = build().eval()(images), twin(images)
    assert torch.equal(actual, expected)
    assert losses(twin.train()) == losses(build().train())
    parts = [
        (twin, 'extract_feat'),
        (twin.decode_head, 'forward'),
        (twin.auxiliary_head, 'forward'),
    ]
    assert all(getattr(part, name).__self__ is part for part, name in parts)
    hook = HOOKS.build(dict(type='CompileHook', backend='eager'))
    hook.before_run(SimpleNamespace(model=twin))
    assert type(twin.extract_feat) is type(model.extract_feat)


def test_the_moving_average_of_mmengine_runs_on_its_own_weights():
    model, images = compiled_model().eval(), torch.ones(1, 3, 32, 48)
    hook = EMAHook(momentum=0.5)
    hook.before_run(SimpleNamespace(model=model))
    hook.ema_model.update_parameters(model)  # the first time it copies
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(0)
        hook.ema_model.update_parameters(model)
        plain = build().eval()
        for weight in plain.parameters():
            weight.mul_(0.5)
        torch.testing.assert_close(hook.ema_model(images), plain(images))


def test_it_reaches_the_network_inside_test_time_augmentation():
    hook, model = HOOKS.build(dict(type='CompileHook', backend='eager')), build()
    tta = MODELS.build(dict(type='BinarySegTTAModel', module=model))
    hook.before_run(SimpleNamespace(model=tta))
    assert 'extract_feat' in vars(model)
    with pytest.raises(TypeError, match='segmentors with extract_feat, got Linear'):
        hook.before_run(SimpleNamespace(model=torch.nn.Linear(1, 1)))


def test_an_unknown_option_is_told_when_the_hook_is_built():
    with pytest.raises(TypeError, match='speed'):
        HOOKS.build(dict(type='CompileHook', speed='high'))


@pytest.mark.parametrize('duplicate', [lambda x: x, copy.deepcopy], ids=['compiled', 'copy'])
def test_a_compiled_head_keeps_its_cheaper_order(duplicate, monkeypatch):
    cheaper = []
    monkeypatch.setattr(
        'condseg_mmseg.models.layers.rewrites.resize_to',
        lambda *args: cheaper.append(1) or resize_to(*args),
    )
    torch.compiler.reset()
    model = MODELS.build(Config.fromfile(STAGE_1).model)
    hook = HOOKS.build(dict(type='CompileHook', backend='eager', fullgraph=True))
    hook.before_run(SimpleNamespace(model=model))
    with torch.no_grad():
        duplicate(model).eval()(torch.ones(1, 3, 32, 48))
    assert len(cheaper) == 4  # once a level, after its convolution
