"""Each switch of docs/method.md, section 7, set alone on the default, does what is said there.

Those of the pipelines are in test_switches_pipeline.py.
"""

import math

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.structures import PixelData
from mmseg.registry import METRICS, MODELS
from mmseg.structures import SegDataSample
from shipped_configs import STAGE1, STAGE2, default


def logits(share, size=100, perfect=True):
    """Certain logits and the label of a foreground of this share, of two images."""
    label = torch.zeros(2, size, size, dtype=torch.long)
    label[:, : round(share * size)] = 1
    sign = 2 * label.unsqueeze(1).float() - 1
    return 60 * (sign if perfect else -torch.ones_like(sign)), label


# Row a: one sigmoid or two.
@pytest.mark.parametrize(('double', 'perfect', 'empty'), [(False, 0.0, None), (True, 1.49, 1.57)])
def test_a_double_sigmoid(double, perfect, empty):
    options = {'model__decode_head__loss_decode__double_sigmoid': True} if double else {}
    cfg = default(STAGE2, **options)
    loss = MODELS.build(cfg.model.decode_head.loss_decode)
    assert loss(*logits(0.07)).item() == pytest.approx(perfect, abs=5e-3)
    if empty:
        assert loss(*logits(0.07, perfect=False)).item() == pytest.approx(empty, abs=5e-3)
    first = MODELS.build(default(STAGE1, **options).model.decode_head.loss_decode)
    assert first(*logits(0.07)).item() == pytest.approx(perfect, abs=5e-3)


# Row c: how the image reaches the network.
@pytest.mark.parametrize('official', [False, True])
def test_c_input(official):
    options = dict(mean=[0.0] * 3, std=[255.0] * 3, bgr_to_rgb=False) if official else {}
    options = {f'model__data_preprocessor__{k}': v for k, v in options.items()}
    cfg = default(STAGE2, model__data_preprocessor__size=(1, 1), **options)
    bgr = torch.tensor([10, 20, 30], dtype=torch.uint8).reshape(3, 1, 1)
    sample = SegDataSample(gt_sem_seg=PixelData(data=torch.zeros(1, 1, 1, dtype=torch.long)))
    data = MODELS.build(cfg.model.data_preprocessor)(
        dict(inputs=[bgr], data_samples=[sample]), True
    )
    rgb = [(30 - 123.675) / 58.395, (20 - 116.28) / 57.12, (10 - 103.53) / 57.375]
    expected = [10 / 255, 20 / 255, 30 / 255] if official else rgb
    assert data['inputs'].flatten().tolist() == pytest.approx(expected, abs=1e-6)


# Row d: BatchNorm's statistics of stage 1 are kept or lost.
@pytest.mark.parametrize('buffers', [True, False])
def test_d_batchnorm_statistics(tmp_path, buffers):
    options = dict(depth=18, stem_channels=8, base_channels=8)
    options = {f'model__backbone__{k}': v for k, v in options.items()}
    options['model__backbone__init_cfg__checkpoint'] = str(tmp_path / 'stage1.pth')
    if not buffers:
        options['model__backbone__init_cfg__buffers'] = False
    backbone = MODELS.build(default(STAGE2, **options).model.backbone)
    state = {
        f'backbone.{k}': torch.full_like(v, 0.5) if v.is_floating_point() else v
        for k, v in backbone.state_dict().items()
    }
    torch.save(dict(state_dict=state), tmp_path / 'stage1.pth')
    backbone.init_weights()
    after = backbone.state_dict()
    assert (after['conv1.weight'] == 0.5).all()
    assert (after['bn1.running_mean'] == (0.5 if buffers else 0.0)).all()
    assert (after['bn1.running_var'] == (0.5 if buffers else 1.0)).all()


def sid_loss(**options):
    options = {f'model__auxiliary_head__loss_decode__{k}': v for k, v in options.items()}
    return MODELS.build(default(STAGE2, **options).model.auxiliary_head.loss_decode)


# Row e: the overlap of the probabilities, or of a softmax over them.
@pytest.mark.parametrize(
    ('options', 'perfect', 'uniform'), [({}, 0, 0.75), ({'comp_softmax': True}, 0.289, 1 / 3)]
)
def test_e_softmax_before_the_overlap(options, perfect, uniform):
    loss = sid_loss(**options)
    certain, label = logits(0.15)
    values = loss(certain, -certain, torch.full_like(certain, -60), label)
    assert values['loss_comp'].item() == pytest.approx(perfect, abs=5e-4)
    zero = torch.zeros_like(certain)
    assert loss(zero, zero, zero, label)['loss_comp'].item() == pytest.approx(uniform, abs=1e-6)


# Row f: the weight of an area, of 15 % at batch 1 and 12, and of almost nothing.
@pytest.mark.parametrize(
    ('options', 'one', 'twelve', 'little'),
    [
        ({}, 6.716, 1.056, 10.0),
        ({'area': 'mean'}, 6.716, 6.716, 10.0),
        ({'max_beta': None}, 6.716, 1.056, 100.0),
    ],
)
def test_f_area_weight(options, one, twelve, little):
    def beta(batch, share):
        certain, label = (x[:1].repeat(batch, *[1] * (x.ndim - 1)) for x in logits(share))
        return loss(certain, -certain, -certain, label)['beta_fg'].item()

    loss = sid_loss(**options)
    assert beta(1, 0.15) == pytest.approx(one, abs=1e-3)
    assert beta(12, 0.15) == pytest.approx(twelve, abs=1e-3)
    assert beta(1, 0.01) == pytest.approx(little, rel=1e-3)


def test_f_gradient_through_the_area():
    def gradient(**options):
        x = torch.full((1, 1, 4, 4), -1.0, requires_grad=True)
        values = sid_loss(**options)(x, x.detach(), x.detach(), torch.ones(1, 4, 4).long())
        values['loss_fg'].backward()
        return x.grad, (values['loss_fg'] / values['beta_fg']).item()

    detached, loss = gradient()
    whole, _ = gradient(detach_beta=False)
    p = 1 / (1 + math.e)  # the share of every pixel, and so the area
    expected = loss * -(math.sinh(p) ** -2) * p * (1 - p) / 16  # the derivative of 1 / tanh
    assert (whole - detached).flatten().tolist() == pytest.approx([expected] * 16, rel=1e-4)


# Row g: the weight of L_cons.
@pytest.mark.parametrize('weight', [0.5, 1.0])
def test_g_weight_of_the_consistency(weight):
    options = {} if weight == 0.5 else {'model__loss_consistency__loss_weight': weight}
    loss = MODELS.build(default(STAGE1, **options).model.loss_consistency)
    x = torch.full((1, 1, 2, 2), 2.0)
    assert loss(x, -x).item() == pytest.approx(weight * 2 * math.log1p(math.exp(2)), rel=1e-6)


# Row h: foreground first, or background first.
def test_h_order_of_attention():
    small = dict(in_channels=[8, 8, 16, 32], out_channels=8)
    small = {f'model__neck__{k}': v for k, v in small.items()}
    ours = MODELS.build(default(STAGE2, **small).model.neck).eval()
    order = {'model__neck__attn_order': ('bg', 'fg')}
    theirs = MODELS.build(default(STAGE2, **small, **order).model.neck).eval()
    state = ours.state_dict()
    theirs.load_state_dict(state)
    widths = small['model__neck__in_channels']
    maps = [torch.randn(1, c, 16 >> i, 16 >> i) for i, c in enumerate(widths)]
    with torch.no_grad():
        expected = ours(maps)
        assert not torch.allclose(theirs(maps)[0], expected[0], rtol=1e-2)
        # with foreground and background changed places it is the same function

        def swap(key):
            for a, b in (('foreground', 'background'), ('_fg', '_bg')):
                if a in key or b in key:
                    return key.replace(a, '#').replace(b, a).replace('#', b)
            return key

        theirs.load_state_dict({swap(key): value for key, value in state.items()})
        for a, b in zip(theirs(maps), expected, strict=True):
            torch.testing.assert_close(a, b)


def test_empty_masks_in_scores():
    def recall(**options):
        cfg = default(STAGE2, **options)
        metric = METRICS.build(dict(cfg.test_evaluator[0], protocol='original'))
        empty, all_of_it = (PixelData(data=torch.full((1, 2, 2), x)) for x in (0, 1))
        sample = SegDataSample(
            gt_sem_seg=empty, pred_sem_seg=all_of_it,
            metainfo=dict(img_path='a.png', ori_shape=(2, 2), img_shape=(2, 2)),
        )  # fmt: skip
        metric.process({}, [sample.to_dict()])
        return metric.evaluate(1)['image/mRecall']

    assert recall() == 0
    assert recall(test_evaluator__0__empty_policy='official') == pytest.approx(100)


def strong(n=2, **options):
    """The strong view of equal images, vertical stripes in [0, 255]."""
    pytest.importorskip('kornia', reason='needs the extra "consistency"')
    options = {f'model__data_preprocessor__{k}': v for k, v in options.items()}
    cfg = default(STAGE1, model__data_preprocessor__size=(16, 16), **options)
    image = torch.zeros(3, 16, 16, dtype=torch.uint8)
    image[:, :, ::4] = 200
    samples = [
        SegDataSample(gt_sem_seg=PixelData(data=torch.zeros(1, 16, 16).long())) for _ in range(n)
    ]
    model = MODELS.build(cfg.model.data_preprocessor)
    data = model(dict(inputs=[image] * n, data_samples=samples), True)
    return data['inputs'], data['strong_inputs']


def test_one_draw_for_an_image_or_for_a_batch():
    _, each = strong()
    _, same = strong(strong_view__same_on_batch=True)
    assert not torch.allclose(each[0], each[1])
    torch.testing.assert_close(same[0], same[1])


def test_a_blur_of_one_direction_leaves_stripes_across_it():
    still = dict.fromkeys(('brightness', 'contrast', 'saturation', 'hue', 'grayscale_prob'), 0.0)
    still = {f'strong_view__{k}': v for k, v in still.items()}
    clean, blurred = strong(**still, strong_view__blur_sigma=(2.0, 2.0))
    assert (clean - blurred).abs().max() > 0.5
    clean, same = strong(
        **still, strong_view__blur_sigma=(2.0, 2.0), strong_view__blur_kernel=(7, 1)
    )
    torch.testing.assert_close(same, clean, atol=1e-4, rtol=0)


@pytest.mark.parametrize(('mult', 'rate'), [(None, 1e-4), (0.1, 1e-5)])
def test_rate_of_the_encoder(mult, rate):
    key = 'optim_wrapper__paramwise_cfg__custom_keys__backbone__lr_mult'
    cfg = default(STAGE2, **({} if mult is None else {key: mult}))
    model = torch.nn.ModuleDict({x: torch.nn.Linear(1, 1) for x in ('backbone', 'neck')})
    groups = build_optim_wrapper(model, cfg.optim_wrapper).param_groups
    rates = [group['lr'] for group in groups]
    assert rates[-1] == pytest.approx(1e-4)
    assert rates[0] == pytest.approx(rate)
