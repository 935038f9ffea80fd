"""A small encoder, its checkpoint, and a segmentor around it."""

import torch

from condseg_mmseg.models.backbones import StemResNet

TINY = dict(depth=18, stem_channels=4, base_channels=4, num_stages=2)


def encoder(init_cfg=None, **kwargs):
    return StemResNet(init_cfg=init_cfg, **{**TINY, **kwargs})


def randomize(module):
    """Other values everywhere, also in the statistics and counters of BatchNorm."""
    for value in module.state_dict().values():
        if value.is_floating_point():
            value.copy_(torch.rand_like(value) + 0.5)
        else:
            value.fill_(7)
    return module


def from_file(path, **kwargs):
    return dict(type='StrictPretrained', checkpoint=str(path), prefix='backbone.', **kwargs)


def assert_equal(actual, expected, only=None):
    expected = expected.state_dict()
    for name, value in actual.state_dict().items():
        if only is None or only(name):
            assert torch.equal(value, expected[name]), name


def segmentor(init_cfg):
    return dict(
        model=dict(
            type='EncoderDecoder',
            data_preprocessor=dict(type='SegDataPreProcessor', size=(32, 32)),
            backbone=dict(type='StemResNet', init_cfg=init_cfg, **TINY),
            decode_head=dict(
                type='FCNHead', in_channels=8, in_index=-1, channels=4, num_classes=2,
                norm_cfg=dict(type='BN'),
            ),
            test_cfg=dict(mode='whole'),
        ),
        default_scope='mmseg',
        custom_imports=dict(imports=['condseg_mmseg'], allow_failed_imports=False),
    )  # fmt: skip
