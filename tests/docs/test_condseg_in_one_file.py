"""docs/condseg_in_one_file.py is our networks, and the published ones: values and gradients."""

import pytest
import torch
from helpers import ROOT, assert_close, fill, fixture, load_script, reference_state
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import nn

from condseg_mmseg.apis.convert import convert_state
from condseg_mmseg.models.losses import BCEDiceLoss, SIDLoss

one_file = load_script('docs/condseg_in_one_file.py')

CONFIGS = ROOT / 'configs' / 'condseg'
STAGE_1 = CONFIGS / 'condseg-stage1_r50_1xb8-300e_kvasir-seg-256x256.py'
STAGE_2 = CONFIGS / 'condseg_r50_1xb12-300e_kvasir-seg-256x256.py'
WIDTHS = (8, 32, 64, 128)  # of a ResNet-50 of an eighth of its channels
AUXILIARY = (16, 16, 8, 8, 4)
SIZES = [(64, 64), (75, 93)]
NEAR = {'rtol': 1e-9, 'atol': 1e-12}


def registered(path, **parts):
    """The network of a config, changed in parts; nothing is downloaded."""
    init_default_scope('mmseg')
    cfg = Config.fromfile(path)
    cfg.merge_from_dict({f'model.{name}': value for name, value in parts.items()})
    return MODELS.build(cfg.model)


def small(stage):
    """Our network with few channels in float64, and the one file's with the same weights."""
    parts = {'backbone.stem_channels': 8, 'backbone.base_channels': 8}
    encoder = one_file.ResNet50(8)
    if stage == 1:
        ours = registered(STAGE_1, **parts, **{'decode_head.in_channels': WIDTHS})
        theirs = one_file.stage1(encoder, WIDTHS)
    else:
        neck = {'neck.in_channels': WIDTHS, 'neck.out_channels': 16, 'neck.backend': 'fast'}
        heads = {
            'decode_head.in_channels': [16] * 4, 'decode_head.channels': 16,
            'decode_head.head_channels': (16, 8), 'auxiliary_head.in_channels': 16,
            'auxiliary_head.channels': AUXILIARY,
        }  # fmt: skip
        ours = registered(STAGE_2, **parts, **neck, **heads)
        theirs = one_file.ConDSeg(encoder, WIDTHS, 16, sid=64, head=(16, 8), auxiliary=AUXILIARY)
    for module in ours.modules():
        if isinstance(module, nn.BatchNorm2d):  # biases near 1, so that few values die in ReLU
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 1, 0.1)
            nn.init.normal_(module.running_mean, 1, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    return ours.double(), theirs.double()


def batch(size):
    """Images (2, 3, H, W), and masks (2, 1, H, W) of 0, 1 and, at random, 255."""
    masks = (torch.rand(2, 1, *size) > 0.6).long()
    masks[torch.rand(2, 1, *size) > 0.9] = 255
    return torch.randn(2, 3, *size, dtype=torch.float64), masks


def assert_same_step(ours, theirs):
    """Gradients of all parameters, and the statistics of BatchNorm after one forward pass."""
    parameters = dict(ours.named_parameters())
    for name, other in theirs.named_parameters():
        scale = other.grad.abs().max().item()
        assert scale > 0 or '.mlp.' in name, name  # a gate's bottleneck can be dead
        error = (parameters.pop(name).grad - other.grad).abs().max().item()
        assert error <= 1e-9 * scale, name
    assert not parameters
    for name, other in theirs.named_buffers():
        torch.testing.assert_close(ours.get_buffer(name), other, **NEAR)


@pytest.mark.parametrize(
    ('path', 'build'), [(STAGE_1, one_file.stage1), (STAGE_2, one_file.ConDSeg)], ids=['1', '2']
)
def test_state_dicts_of_the_shipped_configs_load_strictly(path, build):
    with torch.device('meta'):
        ours, theirs = registered(path).state_dict(), build()
        theirs.load_state_dict(ours, strict=True, assign=True)
    assert sum(p.numel() for p in theirs.parameters()) == pytest.approx(
        8.66e6 if path == STAGE_1 else 45.55e6, rel=1e-3
    )


@pytest.mark.parametrize('size', SIZES, ids=str)
def test_stage_2_in_eval_mode_has_equal_maps(size):
    ours, theirs = (net.eval() for net in small(2))
    ours.neck.sid_in_eval = True
    images, _ = batch(size)
    with torch.no_grad():
        encoded, maps = ours.backbone(images), ours.extract_feat(images)
        logits = ours.decode_head(maps), *ours.auxiliary_head(maps)
        expected = theirs.backbone(images)
        torch.testing.assert_close(encoded, expected, **NEAR)
        f, sid = theirs.neck(expected)
        torch.testing.assert_close(maps, (*f, *sid), **NEAR)
        torch.testing.assert_close(logits, theirs(images), **NEAR)
    assert [tuple(x.shape[2:]) for x in f] == [
        tuple(-(-s // 2**i) for s in size) for i in (1, 2, 3, 4)
    ]


@pytest.mark.parametrize('size', SIZES, ids=str)
def test_a_step_of_stage_2_has_equal_losses_and_gradients(size):
    ours, theirs = (net.train() for net in small(2))
    images, masks = batch(size)
    samples = [SegDataSample(gt_sem_seg=PixelData(data=mask)) for mask in masks]
    losses = ours(images, samples, mode='loss')
    total, _ = ours.parse_losses(losses)
    total.backward()
    expected = one_file.stage2_losses(theirs(images), masks)
    sum(expected.values()).backward()
    names = {
        'decode.loss_mask': 'mask',
        'aux.loss_fg': 'fg',
        'aux.loss_bg': 'bg',
        'aux.loss_comp': 'comp',
    }
    assert {name for name in losses if 'loss' in name} == set(names)
    for name, other in names.items():
        assert losses[name].item() == pytest.approx(expected[other].item(), rel=1e-9)
    assert_same_step(ours, theirs)


@pytest.mark.parametrize('size', SIZES, ids=str)
def test_a_step_of_stage_1_has_equal_losses_and_gradients(size):
    ours, theirs = (net.train() for net in small(1))
    images, masks = batch(size)
    strong = images.flip(1) + 0.3
    samples = [SegDataSample(gt_sem_seg=PixelData(data=mask)) for mask in masks]
    losses = ours(images, samples, mode='loss', strong_inputs=strong)
    total, _ = ours.parse_losses(losses)
    total.backward()
    expected = one_file.stage1_losses(theirs(images), theirs(strong), masks)
    sum(expected.values()).backward()
    names = {
        'decode.loss_mask': 'clean',
        'strong.loss_mask': 'strong',
        'loss_consistency': 'consistency',
    }
    assert {name for name in losses if 'loss' in name} == set(names)
    for name, other in names.items():
        assert losses[name].item() == pytest.approx(expected[other].item(), rel=1e-9)
    assert_same_step(ours, theirs)
    ours, theirs = ours.eval(), theirs.eval()
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images), **NEAR)


@pytest.mark.parametrize('value', [0, 255], ids=['no foreground', 'all ignored'])
def test_losses_of_extreme_masks_equal_ours(value):
    # hardly any foreground predicted, nor background: both betas are at their bound
    maps = [torch.randn(2, 1, 6, 5, dtype=torch.float64) - 9 for _ in range(4)]
    mask = torch.full((2, 1, 6, 5), value)
    ours, theirs = ([x.clone().requires_grad_() for x in maps] for _ in range(2))
    found = SIDLoss()(*ours[1:], mask.squeeze(1))
    assert [found.pop(name).item() for name in ('beta_fg', 'beta_bg')] == pytest.approx([10, 10])
    losses = BCEDiceLoss()(ours[0], mask.squeeze(1)), *found.values()
    expected = one_file.stage2_losses(theirs, mask)
    torch.testing.assert_close(losses, tuple(expected.values()), **NEAR)
    gradients = torch.autograd.grad(sum(losses), ours)
    torch.testing.assert_close(
        gradients, torch.autograd.grad(sum(expected.values()), theirs), **NEAR
    )


def published(keys_file, build):
    net = build().eval()
    state = convert_state(reference_state(keys_file, 0), net.state_dict())
    net.load_state_dict(state, strict=True)
    return net


def test_logits_of_stage_2_equal_the_published_ones():
    data = fixture('condseg_r50.eval_b.npz')
    image = torch.from_numpy(fill.image(int(data['image_seed']), tuple(data['shape'])))
    with torch.no_grad():
        logits = published('condseg_r50.keys.json', one_file.ConDSeg)(image)
    for name, values in zip(('mask', 'fg', 'bg', 'uc'), logits, strict=True):
        assert_close(values, data[f'logits.{name}'], 1e-4, name)


def test_logits_of_stage_1_equal_the_published_ones():
    data = fixture('stage1_r50.eval.npz')
    image = torch.from_numpy(fill.image(int(data['image_seed']), tuple(data['shape'])))
    with torch.no_grad():
        logits = published('stage1_r50.keys.json', one_file.stage1)(image)
    assert_close(logits, data['logits'], 1e-4, 'logits')


def test_a_reader_can_finish_it():
    assert len((ROOT / 'docs' / 'condseg_in_one_file.py').read_text().splitlines()) < 300
