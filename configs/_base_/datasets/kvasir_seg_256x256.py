# Kvasir-SEG as its authors publish it (images/, masks/) with the official split (train.txt: 880,
# val.txt: 120). There is no test list: the validation list picks the checkpoint and is reported.
dataset_type = 'BinaryMedicalDataset'
data_root = 'data/kvasir-seg/'
img_size = (256, 256)  # width, height
batch_size = 12
num_workers = 2

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='BinarizeMask', threshold=127),  # first: what is rotated in as 255 is then ignored
    dict(type='Resize', scale=img_size, keep_ratio=False),
    dict(type='RandomRotate', prob=0.3, degree=35, pad_val=0, seg_pad_val=255),
    # Two entries: one with two directions would flip in one of them only.
    dict(type='RandomFlip', prob=0.3, direction='horizontal'),
    dict(type='RandomFlip', prob=0.3, direction='vertical'),
    # An eighth of the side (32 px of 256) per hole; the mask stays whole.
    dict(type='RandomCutOut', prob=0.3, n_holes=10, cutout_ratio=(0.125, 0.125), seg_fill_in=None),
    dict(type='PackSegInputs'),
]
# Without ScoreAtInputSize, and with protocol='original' below, scores at the size of the files.
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=img_size, keep_ratio=False),
    dict(type='LoadAnnotations'),
    dict(type='ScoreAtInputSize', mask_interpolation='nearest'),
    dict(type='BinarizeMask', threshold=127),
    dict(type='PackSegInputs'),
]
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='Resize', scale=img_size, keep_ratio=False)],
            [
                dict(type='RandomFlip', prob=0.0, direction='horizontal'),
                dict(type='RandomFlip', prob=1.0, direction='horizontal'),
                dict(type='RandomFlip', prob=1.0, direction='vertical'),
            ],
            [dict(type='LoadAnnotations')],
            [dict(type='ScoreAtInputSize', mask_interpolation='nearest')],
            [dict(type='BinarizeMask', threshold=127)],
            [dict(type='PackSegInputs')],
        ],
    ),
]

train_dataloader = dict(
    batch_size=batch_size,
    num_workers=num_workers,
    persistent_workers=True,
    drop_last=True,  # a last batch of one image would spoil the statistics of BatchNorm
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='train.txt',
        other_ann_files=('val.txt',),
        data_prefix=dict(img_path='images', seg_map_path='masks'),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=num_workers,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='val.txt',
        data_prefix=dict(img_path='images', seg_map_path='masks'),
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
