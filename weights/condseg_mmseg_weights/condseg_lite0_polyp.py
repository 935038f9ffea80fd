augment = [
    dict(degree=35, pad_val=0, prob=0.3, seg_pad_val=255, type='RandomRotate'),
    dict(direction='horizontal', prob=0.3, type='RandomFlip'),
    dict(direction='vertical', prob=0.3, type='RandomFlip'),
    dict(
        cutout_ratio=(
            0.125,
            0.125,
        ),
        n_holes=10,
        prob=0.3,
        seg_fill_in=None,
        type='RandomCutOut'),
]
auto_scale_lr = dict(base_batch_size=8, enable=False)
channels = 32
colour = dict(
    brightness_delta=16,
    contrast_range=(
        0.8,
        1.2,
    ),
    hue_delta=4,
    saturation_range=(
        0.8,
        1.2,
    ),
    type='PhotoMetricDistortion')
custom_hooks = [
    dict(momentum=0.005, type='EMAHook', update_buffers=True),
    dict(type='ChannelsLastHook'),
]
custom_imports = dict(
    allow_failed_imports=False, imports=[
        'condseg_mmseg',
    ])
cut_out = dict(
    cutout_ratio=(
        0.125,
        0.125,
    ),
    n_holes=10,
    prob=0.3,
    seg_fill_in=None,
    type='RandomCutOut')
data_root = 'data/kvasir-seg/'
default_hooks = dict(
    check_finite=dict(type='CheckFiniteHook'),
    checkpoint=dict(
        by_epoch=True,
        interval=1,
        max_keep_ckpts=2,
        rule='greater',
        save_best='image/mIoU',
        type='AtomicCheckpointHook'),
    logger=dict(interval=50, log_metric_by_epoch=True, type='LoggerHook'),
    param_scheduler=dict(type='ParamSchedulerHook'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    strict_load=dict(
        training_only=(
            'auxiliary_head\\.',
            'neck\\.sid\\.uncertainty\\.',
        ),
        type='StrictLoadHook'),
    timer=dict(type='IterTimerHook'),
    visualization=dict(type='SegVisualizationHook'))
default_scope = 'mmseg'
env_cfg = dict(
    cudnn_benchmark=True,
    dist_cfg=dict(backend='nccl'),
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0))
imagenet = dict(
    checkpoint='https://download.pytorch.org/models/resnet50-0676ba61.pth',
    type='Pretrained')
img_size = (
    160,
    160,
)
load = dict(type='LoadImageFromFile')
load_from = None
load_mask = dict(type='LoadBinaryMask')
log_level = 'INFO'
log_processor = dict(by_epoch=True)
model = dict(
    auxiliary_head=dict(
        channels=(
            32,
            32,
            32,
            16,
            16,
        ),
        in_channels=32,
        loss_decode=dict(type='SIDLoss'),
        norm_cfg=dict(requires_grad=True, type='BN'),
        type='SIDHead'),
    backbone=dict(
        drop_connect_rate=0,
        init_cfg=None,
        out_indices=(
            0,
            1,
            2,
            3,
        ),
        pretrained=False,
        type='EfficientNetLite'),
    data_preprocessor=dict(
        bgr_to_rgb=True,
        mean=[
            123.675,
            116.28,
            103.53,
        ],
        pad_val=0,
        seg_pad_val=255,
        size=(
            160,
            160,
        ),
        std=[
            58.395,
            57.12,
            57.375,
        ],
        type='SegDataPreProcessor'),
    decode_head=dict(
        channels=32,
        head_channels=(
            32,
            16,
        ),
        in_channels=[
            32,
            32,
            32,
            32,
        ],
        loss_decode=dict(type='BCEDiceLoss'),
        norm_cfg=dict(requires_grad=True, type='BN'),
        num_classes=2,
        out_channels=1,
        threshold=0.5,
        type='SizeAwareDecodeHead'),
    neck=dict(
        in_channels=[
            16,
            24,
            40,
            112,
        ],
        kernel_size=3,
        norm_cfg=dict(requires_grad=True, type='BN'),
        num_heads=4,
        out_channels=32,
        sid_channels=64,
        sid_outputs=True,
        type='CDFANeck'),
    test_cfg=dict(mode='whole'),
    train_cfg=dict(),
    type='ValLossEncoderDecoder')
norm_cfg = dict(requires_grad=True, type='BN')
optim_wrapper = dict(
    clip_grad=dict(max_norm=5.0),
    optimizer=dict(lr=0.004, type='AdamW', weight_decay=0.0001),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.125))),
    type='OptimWrapper')
pack = dict(type='PackSegInputs')
param_scheduler = [
    dict(
        by_epoch=True,
        convert_to_iter_based=True,
        end=1,
        start_factor=0.05,
        type='LinearLR'),
    dict(
        by_epoch=True,
        convert_to_iter_based=True,
        eta_min_ratio=0.001,
        type='CosineAnnealingLR'),
]
randomness = dict(seed=0)
resize = dict(
    keep_ratio=False, scale=(
        160,
        160,
    ), type='ResizeWithMask')
resume = False
scale = dict(
    keep_ratio=False,
    ratio_range=(
        1.0,
        1.0,
    ),
    resize_type='ResizeWithMask',
    scale=(
        160,
        160,
    ),
    type='RandomResize')
score = dict(type='ScoreAtInputSize')
stage1_augment = [
    dict(degree=90, pad_val=0, prob=0.5, seg_pad_val=255, type='RandomRotate'),
    dict(direction='horizontal', prob=0.5, type='RandomFlip'),
    dict(direction='vertical', prob=0.5, type='RandomFlip'),
    dict(
        cutout_ratio=(
            0.125,
            0.125,
        ),
        n_holes=10,
        prob=0.3,
        seg_fill_in=None,
        type='RandomCutOut'),
]
stage1_train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadBinaryMask'),
    dict(
        keep_ratio=False,
        ratio_range=(
            1.0,
            1.0,
        ),
        resize_type='ResizeWithMask',
        scale=(
            160,
            160,
        ),
        type='RandomResize'),
    dict(degree=90, pad_val=0, prob=0.5, seg_pad_val=255, type='RandomRotate'),
    dict(crop_size=(
        160,
        160,
    ), type='RandomCrop'),
    dict(direction='horizontal', prob=0.5, type='RandomFlip'),
    dict(direction='vertical', prob=0.5, type='RandomFlip'),
    dict(
        brightness_delta=16,
        contrast_range=(
            0.8,
            1.2,
        ),
        hue_delta=4,
        saturation_range=(
            0.8,
            1.2,
        ),
        type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
test_cfg = dict(type='TestLoop')
test_dataloader = dict(
    batch_size=1,
    dataset=dict(
        ann_file='search_val.txt',
        data_prefix=dict(img_path='images', seg_map_path='masks'),
        data_root='data/kvasir-seg/',
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(keep_ratio=False, scale=(
                160,
                160,
            ), type='ResizeWithMask'),
            dict(type='LoadBinaryMask'),
            dict(type='ScoreAtInputSize'),
            dict(type='PackSegInputs'),
        ],
        test_mode=True,
        type='BinaryMedicalDataset'),
    num_workers=2,
    persistent_workers=True,
    sampler=dict(shuffle=False, type='DefaultSampler'))
test_evaluator = [
    dict(protocol='input_size', type='PerImageBinaryMetric'),
    dict(iou_metrics=[
        'mIoU',
        'mDice',
    ], prefix='dataset', type='IoUMetric'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(keep_ratio=False, scale=(
        160,
        160,
    ), type='ResizeWithMask'),
    dict(type='LoadBinaryMask'),
    dict(type='ScoreAtInputSize'),
    dict(type='PackSegInputs'),
]
train_cfg = dict(max_epochs=6, type='NonEmptyEpochTrainLoop', val_interval=1)
train_dataloader = dict(
    batch_size=8,
    dataset=dict(
        ann_file='search_train.txt',
        data_prefix=dict(img_path='images', seg_map_path='masks'),
        data_root='data/kvasir-seg/',
        other_ann_files=(
            'val.txt',
            'search_val.txt',
        ),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadBinaryMask'),
            dict(
                keep_ratio=False,
                ratio_range=(
                    1.0,
                    1.0,
                ),
                resize_type='ResizeWithMask',
                scale=(
                    160,
                    160,
                ),
                type='RandomResize'),
            dict(
                degree=45,
                pad_val=0,
                prob=0.5,
                seg_pad_val=255,
                type='RandomRotate'),
            dict(crop_size=(
                160,
                160,
            ), type='RandomCrop'),
            dict(direction='horizontal', prob=0.5, type='RandomFlip'),
            dict(direction='vertical', prob=0.5, type='RandomFlip'),
            dict(
                brightness_delta=16,
                contrast_range=(
                    0.8,
                    1.2,
                ),
                hue_delta=4,
                saturation_range=(
                    0.8,
                    1.2,
                ),
                type='PhotoMetricDistortion'),
            dict(type='PackSegInputs'),
        ],
        type='BinaryMedicalDataset'),
    drop_last=True,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(shuffle=True, type='DefaultSampler'))
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadBinaryMask'),
    dict(
        keep_ratio=False,
        ratio_range=(
            1.0,
            1.0,
        ),
        resize_type='ResizeWithMask',
        scale=(
            160,
            160,
        ),
        type='RandomResize'),
    dict(degree=45, pad_val=0, prob=0.5, seg_pad_val=255, type='RandomRotate'),
    dict(crop_size=(
        160,
        160,
    ), type='RandomCrop'),
    dict(direction='horizontal', prob=0.5, type='RandomFlip'),
    dict(direction='vertical', prob=0.5, type='RandomFlip'),
    dict(
        brightness_delta=16,
        contrast_range=(
            0.8,
            1.2,
        ),
        hue_delta=4,
        saturation_range=(
            0.8,
            1.2,
        ),
        type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
tta_model = dict(type='BinarySegTTAModel')
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        transforms=[
            [
                dict(
                    keep_ratio=False,
                    scale=(
                        160,
                        160,
                    ),
                    type='ResizeWithMask'),
            ],
            [
                dict(direction='horizontal', prob=0.0, type='RandomFlip'),
                dict(direction='horizontal', prob=1.0, type='RandomFlip'),
                dict(direction='vertical', prob=1.0, type='RandomFlip'),
            ],
            [
                dict(type='LoadBinaryMask'),
            ],
            [
                dict(type='ScoreAtInputSize'),
            ],
            [
                dict(type='PackSegInputs'),
            ],
        ],
        type='TestTimeAug'),
]
val_cfg = dict(type='ValLoop')
val_dataloader = dict(
    batch_size=1,
    dataset=dict(
        ann_file='search_val.txt',
        data_prefix=dict(img_path='images', seg_map_path='masks'),
        data_root='data/kvasir-seg/',
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(keep_ratio=False, scale=(
                160,
                160,
            ), type='ResizeWithMask'),
            dict(type='LoadBinaryMask'),
            dict(type='ScoreAtInputSize'),
            dict(type='PackSegInputs'),
        ],
        test_mode=True,
        type='BinaryMedicalDataset'),
    num_workers=2,
    persistent_workers=True,
    sampler=dict(shuffle=False, type='DefaultSampler'))
val_evaluator = [
    dict(protocol='input_size', type='PerImageBinaryMetric'),
    dict(iou_metrics=[
        'mIoU',
        'mDice',
    ], prefix='dataset', type='IoUMetric'),
]
views = [
    dict(direction='horizontal', prob=0.0, type='RandomFlip'),
    dict(direction='horizontal', prob=1.0, type='RandomFlip'),
    dict(direction='vertical', prob=1.0, type='RandomFlip'),
]
vis_backends = [
    dict(type='LocalVisBackend'),
]
visualizer = dict(
    alpha=0.5,
    name='visualizer',
    type='InputSizeSegLocalVisualizer',
    vis_backends=[
        dict(type='LocalVisBackend'),
    ])
