"""Every constant of the configs beside the published recipes, on the built objects.

A config is what another one is, and the rows in which it differs. ``None``: it has no such row.
"""

import pytest
from built_recipes import constants
from shipped_configs import STEMS
from test_recipes import RECIPES, STAGE1, STAGE2, expected

FULL1, FULL2 = expected(STAGE1), expected(STAGE2)
VIEW = {row: FULL1[row] for row in ('strong view', 'strong view on', 'consistency')}
FROM_IMAGENET = {'start': 'PretrainedInit'}
NO_NECK = dict.fromkeys(
    ('neck', 'dilations', 'gate', 'SID widths', 'CDFA', 'SID head', 'SID loss'), None
)


def at(side, rows=FULL2, *left_out):
    """The data of a recipe at another size, without some transforms."""
    size = f'({side}, {side})'
    small = {row: [t.replace('(256, 256)', size) for t in rows[row]] for row in ('train', 'val')}
    small['train'] = [t for t in small['train'] if t.partition(' ')[0] not in left_out]
    return small | {'size, padding': ((side, side), 0, 255)}


def fusion(*widths, channels=64):
    """The light head."""
    return {
        'head': f'EncoderFusionHead in_index=[0, 1, 2, 3] in_channels={[*widths]} '
        f'channels={channels} dropout_ratio=0.0 ignore_index=255 align_corners=True '
        'num_classes=2 out_channels=1 threshold=0.5 final_upsample=2'
    }


def head(start, end, align_corners=False):
    middle = f'ignore_index=255 align_corners={align_corners} num_classes=2'
    return NO_NECK | {'head': f'{start} {middle} out_channels=1 threshold=0.5{end}'}


def cosine(epochs):
    """For 10 iterations an epoch."""
    n = 10 * epochs
    return {
        'schedule': [
            'LinearLR start_factor=0.05 end_factor=1.0 total_iters=9 end=10',
            f'CosineAnnealingLR T_max={n} eta_min=None eta_min_ratio=0.001 end={n}',
        ],
        'epochs, validation every': (epochs, 1),
    }


def one_cycle(epochs):
    n = 10 * epochs
    return {
        'optimizer': ('AdamW', (0.9, 0.999), 0.0001),
        'rate of the encoder, of the rest': ([0.001], [0.001]),
        'clip, accumulate': ({'max_norm': 5.0}, 1),
        'schedule': [
            'OneCycleLR eta_max=0.005 div_factor=25.0 final_div_factor=10000.0 '
            f'total_steps={n} end={n}'
        ],
        'epochs, validation every': (epochs, epochs),
        'hooks': ['ChannelsLastHook'],
        'scaled with the batch': (False, 8),
        'batch': 8,
    }


LITE = {
    'encoder': 'EfficientNetLite out_indices=(0, 1, 2, 3) norm_eval=False',
    'skipped blocks': False,
    'start': None,
    'BatchNorm': [(1e-05, 0.1), (0.001, 0.1)],
}
R18 = {
    'encoder': 'StemResNet depth=18 out_indices=(0, 1, 2, 3) strides=(1, 2, 2) '
    'dilations=(1, 1, 1) style=pytorch norm_eval=False frozen_stages=-1 '
    'base_channels=32 stem_channels=32',
    'start': None,
}


def narrow(widths, heads, sid):
    """ConDSeg at 32 channels."""
    return {
        'neck': f'CDFANeck in_channels={widths} out_channels=32 sid_outputs=True '
        'sid_in_eval=False align_corners=True',
        'gate': 2,
        'SID widths': [sid, 32, 32],
        'CDFA': FULL2['CDFA']
        .replace('channels=128', 'channels=32')
        .replace('num_heads=4', f'num_heads={heads}'),
        'head': FULL2['head'].replace('128', '32'),
        'SID head': FULL2['SID head'].replace('128', '32'),
    }


AUGMENTED = [
    'LoadImageFromFile',
    'LoadBinaryMask mode=auto threshold=127 ignore_index=None',
    "RandomResize scale=(160, 160) ratio_range=(1.0, 1.0) {'type': 'ResizeWithMask', "
    "'keep_ratio': False}",
    'RandomRotate prob=0.5 degree=(-45, 45) pal_val=0 seg_pad_val=255',
    'RandomCrop crop_size=(160, 160) cat_max_ratio=1.0 ignore_index=255',
    'RandomFlip prob=0.5 direction=horizontal',
    'RandomFlip prob=0.5 direction=vertical',
    'PhotoMetricDistortion brightness_delta=16 contrast_lower=0.8 contrast_upper=1.2 '
    'saturation_lower=0.8 saturation_upper=1.2 hue_delta=4',
    'PackSegInputs',
]
AVERAGE = "EMAHook {'type': 'ExponentialMovingAverage', 'momentum': 0.01, 'update_buffers': True}"
# ConDSeg on EfficientNet-Lite0, 12 epochs
LITE0 = {
    **(FULL2 | LITE | narrow((16, 24, 40, 112), 4, 64) | at(160) | cosine(12)),
    'train': AUGMENTED,
    'batch': 8,
    'scaled with the batch': (False, 8),
    'optimizer': ('AdamW', (0.9, 0.999), 0.0001),
    'rate of the encoder, of the rest': ([0.0005], [0.002]),
    'clip, accumulate': ({'max_norm': 5.0}, 1),
    'hooks': [AVERAGE, 'ChannelsLastHook'],
}
STAGE1_LITE0 = {
    **(LITE0 | NO_NECK | VIEW | fusion(16, 24, 40, 112, channels=32) | cosine(3)),
    'segmentor': 'ConsistencyReinforcement',
    'train': [t.replace('(-45, 45)', '(-90, 90)') for t in AUGMENTED],
}
LITE2_WIDTHS = (16, 24, 48, 120)
PLAIN = {'skipped blocks': True, 'hooks': ['ChannelsLastHook']}
SIX = PLAIN | at(160) | cosine(6) | {'rate of the encoder, of the rest': ([0.0002], [0.001])}
THREE = PLAIN | at(96) | cosine(3) | {'rate of the encoder, of the rest': ([0.0006], [0.003])}
ONE_STAGE = VIEW | {'segmentor': 'ConsistencyReinforcement'}
WINDOWS = at(128) | {'batch': 4, 'scaled with the batch': (False, 4)}


def fcn(index, widths, convs=2):
    start = f'FCNHead num_convs={convs} concat_input={convs == 2} kernel_size=3 in_index={index} '
    return head(f'{start}in_channels={widths[0]} channels={widths[1]} dropout_ratio=0.1', '')


def fpn(channels, strides):
    start = f'FPNHead in_index=[0, 1, 2, 3] in_channels={[channels] * 4} channels={channels}'
    return head(f'{start} dropout_ratio=0.1', f' feature_strides={strides}')


def unet(channels, nested):
    start = f'UNetHead in_index=[0, 1, 2, 3] in_channels=[16, 24, 40, 112] channels={channels}'
    return head(f'{start} dropout_ratio=0.0', f' final_upsample=2 nested={nested}', True)


CDFA_FPN = fpn(128, [4, 8, 16, 32]) | {
    **{row: FULL2[row] for row in ('dilations', 'gate', 'CDFA')},
    **FROM_IMAGENET,
    'encoder': FULL2['encoder'].replace('StemResNet', 'ResNet').replace('2)', '2, 2)', 1)
    .replace('dilations=(1, 1, 1)', 'dilations=(1, 1, 1, 1)'),
    'neck': 'CDFANeck in_channels=(256, 512, 1024, 2048) out_channels=128 sid_outputs=False '
    'sid_in_eval=False align_corners=True',
    'SID widths': [1024, 128, 128],
}  # fmt: skip
PRANET = {
    **head('PraNetHead in_index=[0, 1, 2] in_channels=[40, 112, 320] channels=32 dropout_ratio=0.0',
           ' final_upsample=2', True),
    'encoder': 'EfficientNetLite out_indices=(2, 3, 4) norm_eval=False',
}  # fmt: skip
UNET = fcn(4, (16, 16), convs=1) | {
    'encoder': 'UNet strides=(1, 1, 1, 1, 1) norm_eval=False base_channels=16',
    'skipped blocks': None,
    'BatchNorm': [(1e-05, 0.1)],
    'rate of the encoder, of the rest': ([0.001], [0.001]),
}


def k(size):
    return WINDOWS | {'CDFA': FULL2['CDFA'].replace('kernel_size=3', f'kernel_size={size}')}


DEMO1 = R18 | at(96, FULL1, 'RandomCutOut') | fusion(32, 32, 64, 128, channels=16) | one_cycle(3)
DEMO2 = R18 | at(96, FULL2, 'RandomCutOut') | narrow((32, 32, 64, 128), 2, 64) | one_cycle(4)
TABLE = {
    'baseline_r50_1xb12-300e_kvasir-seg-256x256': (
        FULL2, FROM_IMAGENET | NO_NECK | fusion(64, 256, 512, 1024)),
    'baseline-sid-cdfa_r50_1xb12-300e_kvasir-seg-256x256': (
        FULL2, FROM_IMAGENET | fusion(128, 128, 128, 128)),
    'condseg-no-cr_r50_1xb12-300e_kvasir-seg-256x256': (FULL2, FROM_IMAGENET),
    'condseg-one-stage_r50_1xb12-300e_kvasir-seg-256x256': (FULL2, FROM_IMAGENET | ONE_STAGE),
    'condseg-k3_r50_1xb4-300e_kvasir-seg-128x128': (FULL2, k(3)),
    'condseg-k5_r50_1xb4-300e_kvasir-seg-128x128': (FULL2, k(5)),
    'condseg-k7_r50_1xb4-300e_kvasir-seg-128x128': (FULL2, k(7)),
    'cdfa-fpn_r50_1xb12-300e_kvasir-seg-256x256': (FULL2, CDFA_FPN),
    'condseg-stage1_r18_1xb8-3e_demo-96x96': (FULL1, DEMO1),
    'condseg_r18_1xb8-4e_demo-96x96': (FULL2, DEMO2),
    'condseg_lite0_1xb8-12e_kvasir-seg-160x160': (LITE0, {}),
    'condseg_lite0_1xb8-9e_kvasir-seg-160x160': (LITE0, cosine(9)),
    'condseg_lite0_1xb8-6e_kvasir-seg-160x160': (LITE0, SIX),
    'condseg-stage1_lite0_1xb8-3e_kvasir-seg-160x160': (STAGE1_LITE0, {}),
    'condseg_lite2_1xb8-9e_kvasir-seg-160x160': (
        LITE0, cosine(9) | narrow(LITE2_WIDTHS, 4, 64)),
    'condseg-stage1_lite2_1xb8-3e_kvasir-seg-160x160': (
        STAGE1_LITE0, fusion(*LITE2_WIDTHS, channels=32)),
    'fpn_lite2_1xb8-12e_kvasir-seg-160x160': (LITE0, fpn(104, [2, 4, 8, 16])),
    'condseg_lite0_1xb8-3e_kvasir-seg-96x96': (LITE0, THREE),
    'condseg-one-stage_lite0_1xb8-3e_kvasir-seg-96x96': (LITE0, THREE | ONE_STAGE),
    'condseg-stage1_lite0_1xb8-2e_kvasir-seg-96x96': (
        STAGE1_LITE0, PLAIN | at(96, FULL1) | cosine(2)
        | {'rate of the encoder, of the rest': ([0.0002], [0.001])}),
    'baseline_lite0_1xb8-12e_kvasir-seg-160x160': (LITE0, NO_NECK | fusion(16, 24, 40, 112)),
    'baseline_lite0_1xb8-3e_kvasir-seg-96x96': (LITE0, THREE | NO_NECK | fusion(16, 24, 40, 112)),
    'baseline-sid-cdfa_lite0_1xb8-12e_kvasir-seg-160x160': (LITE0, fusion(32, 32, 32, 32)),
    'baseline-sid-cdfa_lite0_1xb8-3e_kvasir-seg-96x96': (LITE0, THREE | fusion(32, 32, 32, 32)),
    'fcn_lite0_1xb8-12e_kvasir-seg-160x160': (LITE0, fcn(3, (112, 192))),
    'fcn_lite0_1xb8-6e_kvasir-seg-160x160': (LITE0, SIX | fcn(3, (112, 112))),
    'fpn_lite0_1xb8-12e_kvasir-seg-160x160': (LITE0, fpn(104, [2, 4, 8, 16])),
    'fpn_lite0_1xb8-6e_kvasir-seg-160x160': (LITE0, SIX | fpn(64, [2, 4, 8, 16])),
    'pranet_lite0_1xb8-12e_kvasir-seg-160x160': (LITE0, PRANET),
    'unet_b16_1xb8-6e_kvasir-seg-160x160': (LITE0, SIX | UNET),
    'unet_lite0_1xb8-12e_kvasir-seg-160x160': (LITE0, unet(48, nested=False)),
    'unetpp_lite0_1xb8-12e_kvasir-seg-160x160': (LITE0, unet(40, nested=True)),
}  # fmt: skip


def test_both_tables_together_are_of_all_configs():
    assert {*TABLE, *RECIPES} == set(STEMS)


@pytest.mark.parametrize('stem', TABLE)
def test_constants(stem):
    base, changes = TABLE[stem]
    rows = {row: value for row, value in (base | changes).items() if value is not None}
    found = constants(STEMS[stem])
    rate = 'rate of the encoder, of the rest'
    found[rate] = tuple([round(x, 10) for x in part] for part in found[rate])
    assert found == rows
