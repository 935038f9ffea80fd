"""Every constant of the published recipes, on the built objects, for all presets and data sets.

The values are those of the paper and of the released code (docs/method.md, sections 6 and 7). A row
has one value, or one for each preset that differs from our default.
"""

import pytest
from built_recipes import constants
from shipped_configs import STEMS, named


def by(default, **presets):
    return {'': default, 'official': default, 'paper': default} | presets


STAGE1 = {
    'batch': by(
        8,
        paper=4,
    ),
    'drop last, shuffle': (True, True, False),
    'train': by(
        [
            'LoadImageFromFile',
            'LoadBinaryMask mode=auto threshold=127 ignore_index=None',
            'ResizeWithMask scale=(256, 256) interpolation=bilinear keep_ratio=False labels=False',
            'RandomRotate prob=0.5 degree=(-90, 90) pal_val=0 seg_pad_val=255',
            'RandomFlip prob=0.5 direction=horizontal',
            'RandomFlip prob=0.5 direction=vertical',
            'RandomCutOut prob=0.3 n_holes=(10, 10) fill_in=(0, 0, 0) seg_fill_in=None '
            'with_ratio=True candidates=[(0.125, 0.125)]',
            'PackSegInputs',
        ],
        official=[
            'LoadImageFromFile',
            'LoadSoftMask',
            'RandomRotateReflect prob=0.5 degree=(-90, 90) pal_val=0 seg_pad_val=255',
            'RandomFlip prob=0.5 direction=horizontal',
            'RandomFlip prob=0.5 direction=vertical',
            'RandomCutOut prob=0.3 n_holes=(10, 10) fill_in=(0, 0, 0) seg_fill_in=None '
            'with_ratio=False candidates=[(32, 32)]',
            'ResizeWithMask scale=(256, 256) interpolation=bilinear keep_ratio=False labels=False',
            'PackSoftSegInputs',
        ],
    ),
    'val': [
        'LoadImageFromFile',
        'ResizeWithMask scale=(256, 256) interpolation=bilinear keep_ratio=False labels=False',
        'LoadBinaryMask mode=auto threshold=127 ignore_index=None',
        'ScoreAtInputSize labels=False',
        'PackSegInputs',
    ],
    'scores': by(
        [
            'PerImageBinaryMetric empty_policy=strict protocol=input_size foreground=(1,) '
            'ignore_index=255',
            'ExtraScorer names=() empty_policy=strict map_norm=none surface_tolerance=2.0',
            "IoUMetric ignore_index=255 metrics=['mIoU', 'mDice']",
        ],
        official=[
            'PerImageBinaryMetric empty_policy=official protocol=input_size foreground=(1,) '
            'ignore_index=255',
            'ExtraScorer names=() empty_policy=official map_norm=none surface_tolerance=2.0',
            "IoUMetric ignore_index=255 metrics=['mIoU', 'mDice']",
        ],
    ),
    'mean, std': by(
        [[123.675, 116.28, 103.53], [58.395, 57.12, 57.375]],
        official=[[0.0, 0.0, 0.0], [255.0, 255.0, 255.0]],
    ),
    'BGR to RGB': by(
        True,
        official=False,
    ),
    'size, padding': ((256, 256), 0, 255),
    'strong view': by(
        [
            'ColorJitter(brightness=0.3, contrast=0.3, saturation=0.3, hue=0.1, p=1.0, '
            'p_batch=1.0, same_on_batch=False)',
            'RandomGrayscale(p=0.5, p_batch=1.0, same_on_batch=False)',
            'RandomGaussianBlur(sigma=(0.1, 3.0), p=1.0, p_batch=1.0, same_on_batch=False, '
            'kernel_size=(7, 7), separable=True, border_type=reflect)',
        ],
        official=[
            'ColorJitter(brightness=0.3, contrast=0.3, saturation=0.3, hue=0.1, p=1.0, '
            'p_batch=1.0, same_on_batch=True)',
            'RandomGrayscale(p=0.5, p_batch=1.0, same_on_batch=True)',
            'RandomGaussianBlur(sigma=(0.1, 3.0), p=1.0, p_batch=1.0, same_on_batch=True, '
            'kernel_size=(7, 1), separable=True, border_type=reflect)',
        ],
    ),
    'strong view on': by(
        ('rgb', False, False),
        official=('bgr', False, True),
    ),
    'start': 'PretrainedInit',
    'segmentor': 'ConsistencyReinforcement',
    'encoder': (
        'StemResNet depth=50 out_indices=(0, 1, 2, 3) strides=(1, 2, 2) dilations=(1, 1, 1) '
        'style=pytorch norm_eval=False frozen_stages=-1 base_channels=64 stem_channels=64'
    ),
    'BatchNorm': [(1e-05, 0.1)],
    'head': (
        'EncoderFusionHead in_index=[0, 1, 2, 3] in_channels=[64, 256, 512, 1024] channels=64 '
        'dropout_ratio=0.0 ignore_index=255 align_corners=True num_classes=2 out_channels=1 '
        'threshold=0.5 final_upsample=2'
    ),
    'loss': by(
        'BCEDiceLoss use_sigmoid=True double_sigmoid=False smooth=1.0 loss_weight=1.0',
        official='BCEDiceLoss use_sigmoid=True double_sigmoid=True smooth=1.0 loss_weight=1.0',
    ),
    'consistency': by(
        'ConsistencyLoss threshold=0.5 loss_weight=0.5',
        official='ConsistencyLoss threshold=0.5 loss_weight=1.0',
    ),
    'optimizer': ('Adam', (0.9, 0.999), 0),
    'rate of the encoder, of the rest': ([0.0001], [0.0001]),
    'clip, accumulate': (None, 1),
    'schedule': [
        'ReduceOnPlateauLR factor=0.1 patience=30 monitor=val_loss rule=less threshold=0.0001 '
        'threshold_rule=rel'
    ],
    'epochs, validation every': (300, 1),
    'hooks': ['EarlyStoppingHook monitor=image/mIoU rule=greater min_delta=0.0 patience=100'],
    'checkpoints': (1, 2, ['image/mIoU'], ['greater']),
    'scaled with the batch': by(
        (False, 8),
        paper=(False, 4),
    ),
    'seed': 0,
}

STAGE2 = {
    'batch': by(
        12,
        paper=4,
    ),
    'drop last, shuffle': (True, True, False),
    'train': by(
        [
            'LoadImageFromFile',
            'LoadBinaryMask mode=auto threshold=127 ignore_index=None',
            'ResizeWithMask scale=(256, 256) interpolation=bilinear keep_ratio=False labels=False',
            'RandomRotate prob=0.3 degree=(-35, 35) pal_val=0 seg_pad_val=255',
            'RandomFlip prob=0.3 direction=horizontal',
            'RandomFlip prob=0.3 direction=vertical',
            'RandomCutOut prob=0.3 n_holes=(10, 10) fill_in=(0, 0, 0) seg_fill_in=None '
            'with_ratio=True candidates=[(0.125, 0.125)]',
            'PackSegInputs',
        ],
        official=[
            'LoadImageFromFile',
            'LoadSoftMask',
            'KeepBackgroundMask',
            'RandomRotateReflect prob=0.3 degree=(-35, 35) pal_val=0 seg_pad_val=255',
            'RandomFlip prob=0.3 direction=horizontal',
            'RandomFlip prob=0.3 direction=vertical',
            'RandomCutOut prob=0.3 n_holes=(10, 10) fill_in=(0, 0, 0) seg_fill_in=None '
            'with_ratio=False candidates=[(32, 32)]',
            'ResizeWithMask scale=(256, 256) interpolation=bilinear keep_ratio=False labels=False',
            'PackSoftSegInputs',
        ],
    ),
    'val': [
        'LoadImageFromFile',
        'ResizeWithMask scale=(256, 256) interpolation=bilinear keep_ratio=False labels=False',
        'LoadBinaryMask mode=auto threshold=127 ignore_index=None',
        'ScoreAtInputSize labels=False',
        'PackSegInputs',
    ],
    'scores': by(
        [
            'PerImageBinaryMetric empty_policy=strict protocol=input_size foreground=(1,) '
            'ignore_index=255',
            'ExtraScorer names=() empty_policy=strict map_norm=none surface_tolerance=2.0',
            "IoUMetric ignore_index=255 metrics=['mIoU', 'mDice']",
        ],
        official=[
            'PerImageBinaryMetric empty_policy=official protocol=input_size foreground=(1,) '
            'ignore_index=255',
            'ExtraScorer names=() empty_policy=official map_norm=none surface_tolerance=2.0',
            "IoUMetric ignore_index=255 metrics=['mIoU', 'mDice']",
        ],
    ),
    'mean, std': by(
        [[123.675, 116.28, 103.53], [58.395, 57.12, 57.375]],
        official=[[0.0, 0.0, 0.0], [255.0, 255.0, 255.0]],
    ),
    'BGR to RGB': by(
        True,
        official=False,
    ),
    'size, padding': ((256, 256), 0, 255),
    'start': by(
        'StrictPretrained buffers=True allow_unexpected=False',
        official='StrictPretrained buffers=False allow_unexpected=False',
    ),
    'segmentor': 'ValLossEncoderDecoder',
    'encoder': (
        'StemResNet depth=50 out_indices=(0, 1, 2, 3) strides=(1, 2, 2) dilations=(1, 1, 1) '
        'style=pytorch norm_eval=False frozen_stages=-1 base_channels=64 stem_channels=64'
    ),
    'BatchNorm': [(1e-05, 0.1)],
    'neck': (
        'CDFANeck in_channels=(64, 256, 512, 1024) out_channels=128 sid_outputs=True '
        'sid_in_eval=False align_corners=True'
    ),
    'dilations': [1, 6, 12, 18],
    'gate': 8,
    'SID widths': [512, 128, 128],
    'CDFA': by(
        (
            'ContrastDrivenFeatureAggregation channels=128 num_heads=4 kernel_size=3 stride=1 '
            "attn_drop=0.0 attn_order=('fg', 'bg')"
        ),
        paper=(
            'ContrastDrivenFeatureAggregation channels=128 num_heads=4 kernel_size=3 stride=1 '
            "attn_drop=0.0 attn_order=('bg', 'fg')"
        ),
    ),
    'head': (
        'SizeAwareDecodeHead in_index=[0, 1, 2, 3] in_channels=[128, 128, 128, 128] channels=128 '
        'dropout_ratio=0.0 ignore_index=255 align_corners=True num_classes=2 out_channels=1 '
        'threshold=0.5 final_upsample=2'
    ),
    'loss': by(
        'BCEDiceLoss use_sigmoid=True double_sigmoid=False smooth=1.0 loss_weight=1.0',
        official='BCEDiceLoss use_sigmoid=True double_sigmoid=True smooth=1.0 loss_weight=1.0',
    ),
    'SID head': by(
        (
            'SIDHead in_channels=128 num_classes=2 background_target=complement '
            'foreground_classes=(1,) ignore_index=255 align_corners=True'
        ),
        official=(
            'SIDHead in_channels=128 num_classes=2 background_target=stored '
            'foreground_classes=(1,) ignore_index=255 align_corners=True'
        ),
    ),
    'SID loss': by(
        (
            'SIDLoss double_sigmoid=False comp_softmax=False area=sum detach_beta=True '
            'max_beta=10.0 smooth=1.0 loss_weight=1.0'
        ),
        official=(
            'SIDLoss double_sigmoid=True comp_softmax=True area=sum detach_beta=False '
            'max_beta=None smooth=1.0 loss_weight=1.0'
        ),
        paper=(
            'SIDLoss double_sigmoid=False comp_softmax=False area=mean detach_beta=True '
            'max_beta=None smooth=1.0 loss_weight=1.0'
        ),
    ),
    'optimizer': ('Adam', (0.9, 0.999), 0),
    'rate of the encoder, of the rest': by(
        ([0.0001], [0.0001]),
        paper=([1e-05], [0.0001]),
    ),
    'clip, accumulate': (None, 1),
    'schedule': [
        'ReduceOnPlateauLR factor=0.1 patience=30 monitor=val_loss rule=less threshold=0.0001 '
        'threshold_rule=rel'
    ],
    'epochs, validation every': (300, 1),
    'hooks': ['EarlyStoppingHook monitor=image/mIoU rule=greater min_delta=0.0 patience=100'],
    'checkpoints': (1, 2, ['image/mIoU'], ['greater']),
    'scaled with the batch': by(
        (False, 12),
        paper=(False, 4),
    ),
    'seed': 0,
}


STAGES = {True: STAGE1, False: STAGE2}
RECIPES = sorted(stem for stem in STEMS if stem.startswith(('condseg_r50_', 'condseg-stage1_r50_')))


def expected(rows, preset=''):
    return {k: v[preset or ''] if isinstance(v, dict) else v for k, v in rows.items()}


def test_the_table_is_of_all_presets_and_data_sets():
    found = [(n['data'], n['preset']) for n in map(named, RECIPES)]
    of_the_paper = ['glas', 'isic2016', 'isic2017', 'kvasir-seg', 'kvasir-sessile']
    presets = [(data, preset) for data in of_the_paper for preset in (None, 'official', 'paper')]
    assert {*presets, ('custom', None), ('kvasir-seg-to-cvc-clinicdb', None)} == set(found)
    assert len(found) == 2 * 15 + 2 + 1  # stages, the last one's stage 1 being Kvasir-SEG's


@pytest.mark.parametrize('stem', RECIPES)
def test_constants(stem):
    name = named(STEMS[stem])
    assert constants(STEMS[stem]) == expected(STAGES['stage1' in stem], name['preset'])
