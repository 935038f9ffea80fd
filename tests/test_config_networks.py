"""Every distinct network of the shipped configs trains a step and predicts.

It is built once for all configs that differ in nothing but the origin of its weights and the size.
"""

import re

import numpy as np
import pytest
import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg import registry
from mmseg.structures import SegDataSample
from shipped_configs import CONFIGS, NETWORKS, STEMS, load
from torch.nn.parallel import DistributedDataParallel

import condseg_mmseg  # noqa: F401

(DEMO,) = (name for stem, name in STEMS.items() if re.match(r'condseg_r18_.*_demo-', stem))


def test_there_are_networks():
    assert 15 <= len(NETWORKS) < 0.6 * len(CONFIGS)


def build(name, size):
    init_default_scope('mmseg')
    cfg = Config(load(name).to_dict())
    if cfg.model.backbone.type == 'EfficientNetLite':
        pytest.importorskip('efficientnet_lite_pytorch', reason='needs the extra "lite"')
    if cfg.model.data_preprocessor.type == 'TwoViewSegDataPreProcessor':
        pytest.importorskip('kornia', reason='needs the extra "consistency"')
    cfg.model.data_preprocessor.size = size
    return registry.MODELS.build(cfg.model)


def batch(model, size, training=True, n=2):
    """A prepared batch, as ``train_step`` and ``val_step`` make it."""
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
    images = [torch.randint(0, 256, (3, *size), dtype=torch.uint8) for _ in samples]
    return model.data_preprocessor(dict(inputs=images, data_samples=samples), training)


@pytest.mark.parametrize('name', NETWORKS)
def test_network_trains_a_step_and_predicts_at_the_original_size(name):
    model = build(name, (64, 64))
    model.train()
    losses = model(**batch(model, (64, 64)), mode='loss')
    total = sum(value for key, value in losses.items() if 'loss' in key)
    total.backward()
    assert torch.isfinite(total)
    assert not [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    if name.startswith(('condseg/', 'ablations/')):
        check_logged(losses, load(name).model)
    calls = []
    if model.with_auxiliary_head:  # nothing of training runs in prediction
        for module in (model.auxiliary_head, model.neck.sid.uncertainty):
            module.register_forward_hook(lambda *_: calls.append(1))
    model.eval()
    data = batch(model, (64, 64), training=False)
    with torch.no_grad():
        result = model(**data, mode='predict')
    assert not calls
    assert result[0].pred_sem_seg.data.shape == (1, 41, 57)
    assert set(result[0].pred_sem_seg.data.unique().tolist()) <= {0, 1}


@pytest.fixture
def one_process():
    """A process group of one, which judges parameters as one of many does."""
    dist.init_process_group('gloo', store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize('preset', ['default', 'official', 'paper'])
@pytest.mark.parametrize('stage', [1, 2])
def test_every_parameter_is_used_in_several_processes(one_process, stage, preset):
    """DistributedDataParallel refuses the second step if the first left a parameter out."""
    name = f'{"condseg-stage1" if stage == 1 else "condseg"}_r50'
    pattern = rf'{name}{"" if preset == "default" else f"_{preset}"}_1xb\d+-300e_kvasir-seg-\d+x\d+'
    (config,) = (path for stem, path in STEMS.items() if re.fullmatch(pattern, stem))
    model = build(config, (32, 32)).train()
    two_steps(model)
    model.spare = torch.nn.Linear(1, 1)
    with pytest.raises(RuntimeError, match='not used in producing loss'):
        two_steps(model)


def two_steps(model):
    parallel = DistributedDataParallel(model, find_unused_parameters=False)
    for _ in range(2):
        losses = parallel(**batch(model, (32, 32)), mode='loss')
        sum(value for key, value in losses.items() if 'loss' in key).backward()


def parts(name):
    model = load(name).model
    return model.type, *((model.get(part) or {}).get('type') for part in ('neck', 'decode_head'))


ONE_OF_EACH = sorted(
    {parts(n): n for n in NETWORKS if parts(n)[0] == 'ValLossEncoderDecoder'}.values()
)


@pytest.mark.parametrize('name', ONE_OF_EACH)
def test_the_plain_segmentor_of_mmseg_takes_neck_and_head(name):
    cfg = Config(load(name).to_dict())
    cfg.merge_from_dict({'model.type': 'EncoderDecoder'})
    if cfg.model.backbone.type == 'EfficientNetLite':
        pytest.importorskip('efficientnet_lite_pytorch', reason='needs the extra "lite"')
    model = registry.MODELS.build(cfg.model)
    ours = build(name, (64, 64)).state_dict()
    assert type(model).__name__ == 'EncoderDecoder'
    assert {k: v.shape for k, v in model.state_dict().items()} == {
        k: v.shape for k, v in ours.items()
    }


def check_logged(losses, cfg):
    """Every loss, and beside them nothing but detached figures."""
    expected = {'decode.loss_mask'}
    extra = {'decode.dice'}
    if cfg.get('auxiliary_head'):
        expected |= {'aux.loss_fg', 'aux.loss_bg', 'aux.loss_comp'}
        extra |= {'aux.beta_fg', 'aux.beta_bg'}
    if cfg.type == 'ConsistencyReinforcement':
        expected |= {'strong.loss_mask', 'loss_consistency'}
        extra |= {'strong.dice'}
    assert {key for key in losses if 'loss' in key} == expected
    assert set(losses) - expected == extra
    assert not any(losses[key].requires_grad for key in extra)


@pytest.mark.parametrize('size', [(32, 32), (33, 47), (50, 250), (64, 96)])
def test_any_input_size_from_32_works(size):
    model = build(DEMO, size)
    losses = model.train()(**batch(model, size), mode='loss')
    assert torch.isfinite(losses['decode.loss_mask'])
    inputs = batch(model, size, training=False)['inputs']
    with torch.no_grad():
        logits = model.eval()(inputs, mode='tensor')
        assert len(model.extract_feat(inputs)) == 4  # without fg, bg and uc
    stem = [2 * -(-side // 2) for side in size]
    assert list(logits.shape[2:]) == stem  # the input size where both sides are even


def test_published_size():
    def millions(module):
        return sum(p.numel() for p in module.parameters()) / 1e6

    model = build(STEMS['condseg_r50_1xb12-300e_kvasir-seg-256x256'], (32, 32))
    assert millions(model) == pytest.approx(45.55, abs=5e-3)
    training_only = millions(model.auxiliary_head) + millions(model.neck.sid.uncertainty)
    assert training_only == pytest.approx(9.20, abs=5e-3)
    first = build(STEMS['condseg-stage1_r50_1xb8-300e_kvasir-seg-256x256'], (32, 32))
    assert millions(first) == pytest.approx(8.66, abs=5e-3)
