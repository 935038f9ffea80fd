"""Our stage 1 is the published function: network, losses, gradients, three steps."""

import numpy as np
import pytest
import torch
from helpers import ROOT, assert_close, fill, fixture, reference_state
from mmengine.config import Config
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from condseg_mmseg.apis.convert import convert_state, translate

CONFIGS = ROOT / 'configs' / 'condseg'
OFFICIAL = CONFIGS / 'condseg-stage1_r50_official_1xb8-300e_kvasir-seg-256x256.py'
OFFICIAL_STAGE2 = CONFIGS / 'condseg_r50_official_1xb12-300e_kvasir-seg-256x256.py'
DEFAULT = CONFIGS / 'condseg-stage1_r50_1xb8-300e_kvasir-seg-256x256.py'


def build(config=OFFICIAL):
    """Build the network of a config and give it the reference weights."""
    model = MODELS.build(Config.fromfile(config).model)
    published = reference_state('stage1_r50.keys.json', 0)
    model.load_state_dict(convert_state(published, model.state_dict()), strict=True)
    return model


def test_it_has_the_published_size():
    assert sum(p.numel() for p in build().parameters()) / 1e6 == pytest.approx(8.66, abs=5e-3)


def test_both_stages_of_the_preset_official_read_images_alike():
    one, two = (
        Config.fromfile(path).model.data_preprocessor for path in (OFFICIAL, OFFICIAL_STAGE2)
    )
    assert {key: one[key] for key in two if key != 'type'} == {
        key: two[key] for key in two if key != 'type'
    }


@pytest.mark.parametrize('config', [OFFICIAL, DEFAULT], ids=['official', 'default'])
def test_logits_equal_the_published_ones(config):
    data = fixture('stage1_r50.eval.npz')
    assert int(data['weight_seed']) == 0
    image = torch.from_numpy(fill.image(int(data['image_seed']), tuple(data['shape'])))
    with torch.no_grad():
        logits = build(config).eval()(image, mode='tensor')
    assert_close(logits, data['logits'], 1e-4, 'logits')


@pytest.mark.parametrize('form', ['single', 'double'])
def test_training_equals_the_published_one(form):
    data = fixture(f'stage1_r50.train_{form}_sigmoid.npz')
    model = build().train()
    model.decode_head.loss_decode.double_sigmoid = form == 'double'
    shape = tuple(data['shape'])
    clean = torch.from_numpy(fill.image(int(data['image_seed']), shape))
    assert str(data['strong_view']) == 'clip(0.7*x+0.1,0,1) with channel order reversed'
    strong = (0.7 * clean + 0.1).clamp(0, 1).flip(1)
    mask = torch.from_numpy(fill.mask(int(data['mask_seed']), (shape[0], 1, *shape[2:])))
    samples = [SegDataSample(gt_sem_seg=PixelData(data=m.long())) for m in mask]
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    totals = []
    for step in range(3):
        losses = model(clean, samples, mode='loss', strong_inputs=strong)
        total, _ = model.parse_losses(losses)
        optimizer.zero_grad()
        total.backward()
        if step == 0:
            check_losses(losses, data)
            check_gradients(model, data)
        optimizer.step()
        totals.append(total.item())
    assert totals[0] == pytest.approx(float(data['loss.total']), rel=1e-5)
    assert totals == pytest.approx(data['total_per_step'].tolist(), rel=1e-3)


def check_losses(losses, data):
    names = {
        'decode.loss_mask': 'mask',
        'strong.loss_mask': 'mask_strong',
        'loss_consistency': 'consistency',
    }
    assert {name for name in losses if 'loss' in name} == set(names)
    for ours, published in names.items():
        expected = float(data[f'loss.{published}'])
        assert losses[ours].item() == pytest.approx(expected, rel=1e-5), ours


def check_gradients(model, data):
    """Compare every gradient norm; the README of the fixtures asks for 1e-3."""
    gradients = {name: p.grad for name, p in model.named_parameters()}
    published = {key: float(v) for key, v in data.items() if key.startswith('grad_norm.')}
    errors = {}
    for key, expected in published.items():
        name = translate(key.removeprefix('grad_norm.'))
        value = float(gradients.pop(name).double().norm())
        errors[name] = abs(value - expected) / max(expected, 1e-3)
    assert not gradients
    assert np.median(list(errors.values())) < 1e-4
    assert max(errors.values()) < 1e-3, max(errors, key=errors.get)
