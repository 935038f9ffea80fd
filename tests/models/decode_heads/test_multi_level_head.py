"""The base of our heads: which classes, thresholds and samplers it refuses."""

import math

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from condseg_mmseg.models import EncoderFusionHead


def head(**options):
    return EncoderFusionHead([3, 4], 5, **options)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(num_classes=1), r'num_classes counts the background.*got num_classes=1'),
        (dict(num_classes=1, out_channels=1), r'got num_classes=1'),
        (dict(num_classes=3, out_channels=1), r'out_channels=1 needs num_classes=2, got 3'),
        (dict(threshold=0), r'threshold is on a probability, between 0 and 1, got 0'),
        (dict(threshold=1.0), r'threshold .* got 1.0'),
        (dict(threshold=-0.5), r'threshold .* got -0.5'),
        (dict(threshold=math.nan), r'threshold .* got nan'),
    ],
)
def test_classes_and_thresholds_that_cannot_work_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        head(**options)


OHEM = dict(type='OHEMPixelSampler', min_kept=50)
PER_PIXEL = dict(type='CrossEntropyLoss')


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(sampler=dict(OHEM, thresh=0.7)), r'thresh=0.7\) takes a softmax.*out_channels=2'),
        (
            dict(sampler=dict(OHEM, thresh=0.7), loss_decode=dict(PER_PIXEL, use_sigmoid=True)),
            r'thresh=0.7\) takes a softmax.*out_channels=2',
        ),
        (dict(sampler=OHEM), r'without thresh sorts the loss of each pixel.*BCEDiceLoss'),
        (dict(sampler=OHEM, out_channels=2), r'without thresh sorts the loss of each pixel'),
    ],
)
def test_samplers_that_cannot_work_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        head(**options)


@pytest.mark.parametrize(
    'options',
    [
        dict(sampler=OHEM, loss_decode=dict(PER_PIXEL, use_sigmoid=True)),
        dict(
            sampler=OHEM,
            out_channels=2,
            loss_decode=[PER_PIXEL, dict(type='BCEDiceLoss', use_sigmoid=False)],
        ),
        dict(sampler=dict(OHEM, thresh=0.7), out_channels=2),
    ],
)
def test_samplers_that_work_weigh_the_hardest_pixels(options):
    module = head(**options).eval()
    label = torch.randint(0, 2, (2, 1, 32, 24))
    samples = [SegDataSample(gt_sem_seg=PixelData(data=x)) for x in label]
    features = [torch.randn(2, 3, 16, 12), torch.randn(2, 4, 8, 6)]
    losses = module.loss(features, samples, {})
    assert all(torch.isfinite(value) for value in losses.values())
    weight = module.sampler.sample(torch.randn(2, module.out_channels, 32, 24), label)
    assert 0 < weight.sum() < weight.numel()
