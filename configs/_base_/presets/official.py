# Preset official, what the released code does with data and scores (docs/differences.md): it
# augments at the size of the files, with soft masks and a border by reflection, and leaves the
# background mask where it was. models/*_official.py is the rest of it.
official_train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadSoftMask'),
    dict(type='KeepBackgroundMask'),
    dict(type='RandomRotateReflect', prob=0.3, degree=35),
    dict(type='RandomFlip', prob=0.3, direction='horizontal'),
    dict(type='RandomFlip', prob=0.3, direction='vertical'),
    dict(type='RandomCutOut', prob=0.3, n_holes=10, cutout_shape=(32, 32), seg_fill_in=None),
    dict(type='ResizeWithMask', scale=(256, 256), keep_ratio=False),
    dict(type='PackSoftSegInputs'),
]
official_stage1_train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadSoftMask'),
    dict(type='RandomRotateReflect', prob=0.5, degree=90),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandomFlip', prob=0.5, direction='vertical'),
    dict(type='RandomCutOut', prob=0.3, n_holes=10, cutout_shape=(32, 32), seg_fill_in=None),
    dict(type='ResizeWithMask', scale=(256, 256), keep_ratio=False),
    dict(type='PackSoftSegInputs'),
]
official_evaluator = [
    dict(type='PerImageBinaryMetric', protocol='input_size', empty_policy='official'),
    dict(type='IoUMetric', prefix='dataset', iou_metrics=['mIoU', 'mDice']),
]
