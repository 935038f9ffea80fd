"""ValLossEncoderDecoder: the value of the loss, its way into mmengine's metrics, the schedule."""

import math

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.optim import ReduceOnPlateauLR
from mmengine.runner.loops import _parse_losses, _update_losses
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from condseg_mmseg.models.losses.functional import bce_dice
from condseg_mmseg.models.segmentors import val_loss


@MODELS.register_module()
class FirstChannels(nn.Module):
    """Hands the image on as four levels, each half as large as the one before."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(nn.functional.avg_pool2d(x, 2**i) for i in range(1, 5))


@MODELS.register_module()
class Doubtful(val_loss.ValLossEncoderDecoder):
    """Predicts with half the logits, one image at a time."""

    def predict(self, inputs, data_samples=None):
        logits = self.inference(inputs, [sample.metainfo for sample in data_samples]) / 2
        return [
            self.postprocess_result(one[None], [sample])[0]
            for one, sample in zip(logits, data_samples, strict=True)
        ]


@MODELS.register_module()
class Hasty(val_loss.ValLossEncoderDecoder):
    """Predicts without the network."""

    def predict(self, inputs, data_samples=None):
        return data_samples


def build(kind='ValLossEncoderDecoder', **options):
    torch.manual_seed(3)
    return MODELS.build(
        dict(
            type=kind,
            data_preprocessor=dict(
                type='SegDataPreProcessor', mean=[0.0] * 3, std=[255.0] * 3,
                test_cfg=dict(size_divisor=16),
            ),
            backbone=dict(type='FirstChannels'),
            decode_head=dict(
                type='SizeAwareDecodeHead', in_channels=[3] * 4, channels=4, head_channels=(4, 4)
            ),
            train_cfg=dict(),
            test_cfg=ConfigDict(mode='whole'),
            **options,
        )
    ).eval()  # fmt: skip


@pytest.fixture
def model():
    return build()


def batch(*sizes: tuple[int, int], labelled: bool = True) -> dict:
    generator = torch.Generator().manual_seed(0)
    inputs, samples = [], []
    for size in sizes:
        inputs.append(torch.randint(0, 256, (3, *size), generator=generator, dtype=torch.uint8))
        sample = SegDataSample(metainfo=dict(ori_shape=size, img_shape=size))
        if labelled:
            label = torch.randint(0, 2, (1, *size), generator=generator)
            label[:, 0, :3] = 255
            sample.gt_sem_seg = PixelData(data=label)
        samples.append(sample)
    return dict(inputs=inputs, data_samples=samples)


def by_hand(model, data, factor=1) -> Tensor:
    """BCE + Dice of the whole batch, on the part of the logits that is no padding."""
    image = torch.stack([x.float() / 255 for x in data['inputs']])
    height, width = image.shape[-2:]
    image = nn.functional.pad(image, (0, -width % 16, 0, -height % 16))
    with torch.no_grad():
        logits = factor * model.decode_head(model.extract_feat(image))[..., :height, :width]
    label = torch.stack([sample.gt_sem_seg.data for sample in data['data_samples']])
    valid = (label != 255).float()
    return bce_dice(logits, (label == 1).float(), valid)


def validate(model, *batches: dict) -> tuple[list, dict]:
    """What mmengine's ValLoop does with the outputs."""
    outputs, losses = [], {}
    for data in batches:
        with torch.no_grad():
            result, losses = _update_losses(model.val_step(data), losses)
        outputs += result
    return outputs, _parse_losses(losses, 'val') if losses else {}


@pytest.mark.parametrize('size', [(32, 48), (33, 47)], ids=['divisible', 'padded'])
def test_loss_of_a_batch_is_that_of_training(model, size):
    data = batch(size, size)
    outputs, metrics = validate(model, data)
    assert [type(x) for x in outputs] == [SegDataSample] * 2
    assert outputs[0].pred_sem_seg.shape == size
    assert set(metrics) == {'loss_mask', 'val_loss'}
    expected = float(by_hand(model, batch(size, size)))
    assert metrics['val_loss'] == pytest.approx(expected, rel=1e-5)
    assert metrics['loss_mask'] == metrics['val_loss']


def test_mean_over_batches_and_over_images_of_different_sizes(model):
    small, large = (batch(size) for size in ((32, 32), (48, 32)))
    singles = [validate(model, data)[1]['val_loss'] for data in (small, large)]
    small, large = (batch(size) for size in ((32, 32), (48, 32)))
    assert validate(model, small, large)[1]['val_loss'] == pytest.approx(sum(singles) / 2)

    # one batch whose truths differ in size, as under the protocol 'original'
    first, second = batch((32, 32)), batch((32, 32))
    truth = torch.ones(1, 50, 70, dtype=torch.long)
    second['data_samples'][0].gt_sem_seg = PixelData(data=truth)
    second['data_samples'][0].set_metainfo(dict(ori_shape=(50, 70)))
    alone = [float(next(iter(model.val_step(x)[-1].loss.values()))) for x in (first, second)]
    first, second = batch((32, 32)), batch((32, 32))
    second['data_samples'][0].gt_sem_seg = PixelData(data=truth)
    second['data_samples'][0].set_metainfo(dict(ori_shape=(50, 70)))
    both = {key: first[key] + second[key] for key in first}
    assert float(model.val_step(both)[-1].loss['loss_mask']) == pytest.approx(sum(alone) / 2)


def test_without_truth_there_is_no_loss_and_testing_is_mmsegs(model):
    outputs = model.val_step(batch((32, 32), labelled=False))
    assert [type(x) for x in outputs] == [SegDataSample]
    assert [type(x) for x in model.test_step(batch((32, 32)))] == [SegDataSample]


def test_the_loss_is_that_of_what_a_subclass_predicts():
    model, size, calls = build('Doubtful'), (33, 47), []
    model.backbone.register_forward_hook(lambda *_: calls.append(1))
    outputs, metrics = validate(model, batch(size, size))
    assert len(calls) == 1
    expected = float(by_hand(model, batch(size, size), 0.5))
    assert metrics['val_loss'] == pytest.approx(expected, rel=1e-5)
    assert metrics['val_loss'] != pytest.approx(float(by_hand(model, batch(size, size))), rel=1e-3)
    for validated, tested in zip(outputs, model.test_step(batch(size, size)), strict=True):
        assert torch.equal(validated.seg_logits.data, tested.seg_logits.data)
    logits = torch.logit(outputs[0].seg_logits.data.double())
    plain = torch.logit(build().test_step(batch(size, size))[0].seg_logits.data.double())
    torch.testing.assert_close(logits, plain / 2, rtol=1e-3, atol=1e-4)


def test_a_prediction_without_logits_is_told_and_the_next_one_starts_anew():
    model = build('Hasty')
    message = r'Hasty.predict handed 0 logit maps to postprocess_result for 2 samples'
    with pytest.raises(TypeError, match=message):
        model.val_step(batch((32, 32), (32, 32)))
    assert len(model.val_step(batch((32, 32), labelled=False))) == 1
    model.inference = None  # an error in the middle of a prediction
    model.predict = val_loss.ValLossEncoderDecoder.predict.__get__(model)
    with pytest.raises(TypeError, match='not callable'):
        model.val_step(batch((32, 32)))
    del model.inference
    assert len(model.val_step(batch((32, 32)))) == 2


def test_old_configs_load_or_name_the_hook():
    assert build(memory_format='contiguous_format').decode_head.fuse.conv.weight.is_contiguous()
    with pytest.raises(ValueError, match=r"memory_format='channels_last' .*'ChannelsLastHook'"):
        build(memory_format='channels_last')


def test_a_plateau_of_the_validation_loss_lowers_the_rate():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = ReduceOnPlateauLR(
        optimizer, monitor='val_loss', rule='less', factor=0.1, patience=2, by_epoch=True
    )
    for value in (1.0, 0.5, 0.6, 0.6):
        scheduler.step({'val_loss': value})
    assert optimizer.param_groups[0]['lr'] == 1.0
    scheduler.step({'val_loss': 0.6})
    assert optimizer.param_groups[0]['lr'] == pytest.approx(0.1)


def test_processes_agree_on_the_mean(model, monkeypatch):
    seen = []

    def all_reduce(value, op):
        seen.append((float(value), op))
        value.fill_(7.0)

    monkeypatch.setattr(val_loss, 'all_reduce', all_reduce)
    loss = model.val_step(batch((32, 32)))[-1].loss
    assert float(loss['loss_mask']) == 7.0
    assert len(seen) == 1
    assert seen[0][1] == 'mean'
    assert math.isfinite(seen[0][0])
    assert not loss['loss_mask'].requires_grad


def test_a_head_whose_loss_needs_several_maps_is_refused():
    with pytest.raises(ValueError, match=r"EncHead has no loss .* type='EncoderDecoder'"):
        MODELS.build(
            dict(
                type='ValLossEncoderDecoder',
                backbone=dict(type='FirstChannels'),
                decode_head=dict(
                    type='EncHead', in_channels=[3, 3, 3], in_index=(1, 2, 3), channels=4,
                    num_codes=2, num_classes=2, norm_cfg=dict(type='BN'),
                    loss_decode=dict(type='CrossEntropyLoss'),
                ),
            )
        )  # fmt: skip
