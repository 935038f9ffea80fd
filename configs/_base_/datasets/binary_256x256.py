# What the binary data sets share: pipelines, dataloaders and scores. A file beside this one adds
# the folder and the lists of one data set; a leaf picks the pipelines of its stage and preset.
img_size = (256, 256)  # width, height

load = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]
binarize = dict(type='BinarizeMask', mode='auto')  # 0/1 as prepared, 0/255 with JPEG noise as raw
# Masks of 0 and 1: bilinearly on the image's grid, then cut at 0.5; so does ScoreAtInputSize.
resize = dict(type='ResizeWithMask', scale=img_size, keep_ratio=False)
# An eighth of the side (32 px of 256) per hole; the mask stays whole.
cut_out = dict(
    type='RandomCutOut', prob=0.3, n_holes=10, cutout_ratio=(0.125, 0.125), seg_fill_in=None
)
pack = dict(type='PackSegInputs')
# Binarised first: what is rotated in as 255 is then ignored. Two flips: one with two directions
# would flip in one of them only.
train_pipeline = [
    *load,
    binarize,
    resize,
    dict(type='RandomRotate', prob=0.3, degree=35, pad_val=0, seg_pad_val=255),
    dict(type='RandomFlip', prob=0.3, direction='horizontal'),
    dict(type='RandomFlip', prob=0.3, direction='vertical'),
    cut_out,
    pack,
]
stage1_train_pipeline = [
    *load,
    binarize,
    resize,
    dict(type='RandomRotate', prob=0.5, degree=90, pad_val=0, seg_pad_val=255),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandomFlip', prob=0.5, direction='vertical'),
    cut_out,
    pack,
]
# Without ScoreAtInputSize, and with protocol='original' below, scores at the size of the files.
score = dict(type='ScoreAtInputSize')
test_pipeline = [load[0], resize, load[1], binarize, score, pack]
tta_pipeline = [
    load[0],
    dict(
        type='TestTimeAug',
        transforms=[
            [resize],
            [
                dict(type='RandomFlip', prob=0.0, direction='horizontal'),
                dict(type='RandomFlip', prob=1.0, direction='horizontal'),
                dict(type='RandomFlip', prob=1.0, direction='vertical'),
            ],
            [load[1]],
            [binarize],
            [score],
            [pack],
        ],
    ),
]

# The released code's (docs/differences.md): at the size of the files, soft masks, a border by
# reflection, and a background mask that stays where it was.
official_cut_out = dict(
    type='RandomCutOut',
    prob=cut_out['prob'],
    n_holes=cut_out['n_holes'],
    cutout_shape=(32, 32),
    seg_fill_in=None,
)
official_tail = [official_cut_out, resize, dict(type='PackSoftSegInputs')]
official_train_pipeline = [
    *load,
    dict(type='SoftMask'),
    dict(type='KeepBackgroundMask'),
    dict(type='RandomRotateReflect', prob=0.3, degree=35),
    *train_pipeline[5:7],  # the flips
    *official_tail,
]
official_stage1_train_pipeline = [
    *load,
    dict(type='SoftMask'),
    dict(type='RandomRotateReflect', prob=0.5, degree=90),
    *stage1_train_pipeline[5:7],
    *official_tail,
]

train_dataloader = dict(
    batch_size=12,
    num_workers=2,
    persistent_workers=True,
    drop_last=True,  # a last batch of one image would spoil the statistics of BatchNorm
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='BinaryMedicalDataset',
        data_prefix=dict(img_path='images', seg_map_path='masks'),
        ann_file='train.txt',
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='BinaryMedicalDataset',
        data_prefix=dict(img_path='images', seg_map_path='masks'),
        ann_file='val.txt',
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = [
    dict(type='PerImageBinaryMetric', protocol='input_size'),
    dict(type='IoUMetric', prefix='dataset', iou_metrics=['mIoU', 'mDice']),
]
test_evaluator = val_evaluator
official_evaluator = [dict(val_evaluator[0], empty_policy='official'), val_evaluator[1]]
