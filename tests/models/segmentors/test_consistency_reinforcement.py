"""Two views through one network: what is computed, in which order, and what is refused."""

import copy

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.optim import OptimWrapper
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch.nn import functional as F

from condseg_mmseg.engine import AutocastOptimWrapper

WIDTHS = [8, 8, 16, 32]
FUSION = dict(type='EncoderFusionHead', in_channels=WIDTHS, channels=8)
WHOLE = dict(
    neck=dict(type='CDFANeck', in_channels=WIDTHS, out_channels=8, num_heads=2, sid_outputs=True),
    decode_head=dict(
        type='SizeAwareDecodeHead', in_channels=[8] * 4, channels=8, head_channels=(8, 8)
    ),
    auxiliary_head=dict(type='SIDHead', in_channels=8, channels=(8, 8, 8, 4, 4)),
)


def segmentor(**options):
    preprocessor = dict(
        type='TwoViewSegDataPreProcessor', mean=[0] * 3, std=[255] * 3, size=(32, 32)
    )
    cfg = dict(
        type='ConsistencyReinforcement',
        data_preprocessor=preprocessor,
        backbone=dict(type='StemResNet', depth=18, stem_channels=8, base_channels=8),
        decode_head=FUSION,
        test_cfg=dict(mode='whole'),
    )
    return MODELS.build(ConfigDict(copy.deepcopy(cfg | options)))


def batch(size=(32, 32), n=2):
    label = torch.randint(0, 2, (n, 1, *size))
    label[0, 0, 0] = 255
    samples = [
        SegDataSample(
            gt_sem_seg=PixelData(data=x),
            metainfo={'img_shape': size, 'ori_shape': size, 'pad_shape': size},
        )
        for x in label
    ]
    return torch.rand(n, 3, *size), torch.rand(n, 3, *size), samples


def logits_of(model, inputs):
    return model.decode_head(model.extract_feat(inputs))


def test_losses_by_hand():
    model = segmentor(loss_consistency=dict(type='ConsistencyLoss', loss_weight=1.0)).eval()
    clean, strong, samples = batch()
    losses = model(clean, samples, mode='loss', strong_inputs=strong)
    names = {'decode.loss_mask', 'strong.loss_mask', 'loss_consistency'}
    assert {name for name in losses if 'loss' in name} == names
    assert set(losses) - names == {'decode.dice', 'strong.dice'}
    one, two = logits_of(model, clean), logits_of(model, strong)
    valid = torch.ones_like(one, dtype=torch.bool)
    valid[0, 0, 0] = False
    one_mask, two_mask = ((x[valid] > 0).float() for x in (one, two))
    expected = F.binary_cross_entropy_with_logits(one[valid], two_mask)
    expected = expected + F.binary_cross_entropy_with_logits(two[valid], one_mask)
    torch.testing.assert_close(losses['loss_consistency'], expected)
    for prefix, logits in (('decode', one), ('strong', two)):
        alone = model.decode_head.loss_by_feat(logits, samples)
        torch.testing.assert_close(losses[f'{prefix}.loss_mask'], alone['loss_mask'])


def test_the_clean_view_goes_first_and_each_alone():
    """BatchNorm's running mean m tells: 0.9 (0.9 m + 0.1 clean) + 0.1 strong."""
    model = segmentor().train()
    clean, strong, samples = batch()
    first, second = (model.backbone.conv1(x).mean((0, 2, 3)).detach() for x in (clean, strong))
    model(clean, samples, mode='loss', strong_inputs=strong)
    expected = 0.9 * 0.1 * first + 0.1 * second
    torch.testing.assert_close(model.backbone.bn1.running_mean, expected)
    assert int(model.backbone.bn1.num_batches_tracked) == 2


@pytest.mark.parametrize('size', [(33, 47), (32, 50)])
def test_logits_of_another_size_than_the_labels_are_resized(size):
    model = segmentor().train()
    clean, strong, samples = batch(size)
    losses = model(clean, samples, mode='loss', strong_inputs=strong)
    assert torch.isfinite(losses['loss_consistency'])


@pytest.mark.parametrize('options', [{}, WHOLE], ids=['stage 1', 'one stage'])
def test_every_parameter_learns(options):
    model = segmentor(**options).train()
    clean, strong, samples = batch((64, 64))
    losses = model(clean, samples, mode='loss', strong_inputs=strong)
    total, _ = model.parse_losses(losses)
    total.backward()
    assert not [n for n, p in model.named_parameters() if p.grad is None]
    auxiliary = {name for name in losses if name.startswith('aux.loss')}
    assert auxiliary == ({'aux.loss_fg', 'aux.loss_bg', 'aux.loss_comp'} if options else set())


def test_the_auxiliary_head_sees_the_clean_view_only():
    model = segmentor(**WHOLE).train()
    clean, strong, samples = batch((64, 64))
    seen = []
    model.auxiliary_head.foreground.register_forward_hook(lambda m, i, out: seen.append(i[0]))
    model(clean, samples, mode='loss', strong_inputs=strong)
    assert len(seen) == 1
    torch.testing.assert_close(seen[0], model.extract_feat(clean)[-3])
    assert not torch.allclose(seen[0], model.extract_feat(strong)[-3])


def test_a_head_of_mmseg_does_too():
    head = dict(
        type='FCNHead', in_channels=32, in_index=3, channels=8, num_convs=1, num_classes=2,
        out_channels=1, threshold=0.5, loss_decode=dict(type='BCEDiceLoss'),
    )  # fmt: skip
    model = segmentor(decode_head=head).train()
    clean, strong, samples = batch()
    losses = model(clean, samples, mode='loss', strong_inputs=strong)
    assert set(losses) == {
        'decode.loss_mask', 'decode.acc_seg', 'strong.loss_mask', 'strong.acc_seg',
        'loss_consistency',
    }  # fmt: skip


def test_prediction_and_tensor_see_the_clean_view_only():
    model = segmentor().eval()
    clean, strong, samples = batch()
    with torch.no_grad():
        expected = logits_of(model, clean)
        torch.testing.assert_close(model(clean), expected)
        torch.testing.assert_close(model(clean, strong_inputs=strong), expected)
        result = model(clean, samples, mode='predict', strong_inputs=strong)
    torch.testing.assert_close(result[1].seg_logits.data, expected[1].sigmoid())


def raw_batch(n=3):
    _, _, samples = batch(n=n)
    return {
        'inputs': [torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8) for _ in range(n)],
        'data_samples': samples,
    }


@pytest.mark.parametrize('wrapper', [OptimWrapper, AutocastOptimWrapper])
def test_a_training_step_of_mmengine(wrapper):
    pytest.importorskip('kornia')
    model = segmentor().train()
    before = copy.deepcopy(model.state_dict())
    optimizer = wrapper(optimizer=torch.optim.Adam(model.parameters(), lr=1e-2))
    log = model.train_step(raw_batch(), optimizer)
    parts = log['decode.loss_mask'] + log['strong.loss_mask'] + log['loss_consistency']
    torch.testing.assert_close(log['loss'], parts)
    assert parts.dtype == torch.float32
    same = [k for k, v in model.state_dict().items() if torch.equal(v, before[k])]
    assert same == []


def test_validation_step_has_one_view_and_the_loss_of_the_decode_head():
    model = segmentor().eval()
    data = raw_batch()
    *results, loss = model.val_step(data)
    inputs = model.data_preprocessor(data)['inputs']
    expected = model.decode_head.loss(model.extract_feat(inputs), data['data_samples'], {})
    assert len(results) == 3
    assert set(loss.loss) == {'loss_mask'}
    torch.testing.assert_close(loss.loss['loss_mask'], expected['loss_mask'].detach())


def test_training_without_a_strong_view_says_where_it_comes_from():
    clean, _, samples = batch()
    with pytest.raises(ValueError, match=r"no strong_inputs.*type='TwoViewSegDataPreProcessor'"):
        segmentor()(clean, samples, mode='loss')


def test_heads_of_several_channels_are_refused():
    with pytest.raises(ValueError, match=r'masks of one channel, got .* out_channels=3'):
        segmentor(decode_head=FUSION | dict(num_classes=3))
