# What the binary data sets share: pipelines, dataloaders and scores. A file beside this one adds
# the folder and the lists of one data set; a leaf picks the train pipeline of its stage and preset.
img_size = (256, 256)  # width, height

load = dict(type='LoadImageFromFile')
load_mask = dict(type='LoadBinaryMask')  # 0/1 as prepared, 0/255 with JPEG noise as raw
# Masks of 0 and 1: bilinearly on the image's grid, then cut at 0.5; so does ScoreAtInputSize.
resize = dict(type='ResizeWithMask', scale=img_size, keep_ratio=False)
# An eighth of the side (32 px of 256) per hole; the mask stays whole.
cut_out = dict(
    type='RandomCutOut', prob=0.3, n_holes=10, cutout_ratio=(0.125, 0.125), seg_fill_in=None
)
# What is rotated in as 255 is ignored, since the mask is 0/1 by then. Two flips: one with two
# directions would flip in one of them only.
augment = [
    dict(type='RandomRotate', prob=0.3, degree=35, pad_val=0, seg_pad_val=255),
    dict(type='RandomFlip', prob=0.3, direction='horizontal'),
    dict(type='RandomFlip', prob=0.3, direction='vertical'),
    cut_out,
]
stage1_augment = [
    dict(type='RandomRotate', prob=0.5, degree=90, pad_val=0, seg_pad_val=255),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandomFlip', prob=0.5, direction='vertical'),
    cut_out,
]
# Without it, and with protocol='original' below, scores at the size of the files.
score = dict(type='ScoreAtInputSize')
pack = dict(type='PackSegInputs')

train_pipeline = [load, load_mask, resize, *augment, pack]
stage1_train_pipeline = [load, load_mask, resize, *stage1_augment, pack]
test_pipeline = [load, resize, load_mask, score, pack]  # the mask is read at the size of its file
views = [
    dict(type='RandomFlip', prob=0.0, direction='horizontal'),
    dict(type='RandomFlip', prob=1.0, direction='horizontal'),
    dict(type='RandomFlip', prob=1.0, direction='vertical'),
]
tta_pipeline = [
    load,
    dict(type='TestTimeAug', transforms=[[resize], views, [load_mask], [score], [pack]]),
]

train_dataloader = dict(
    batch_size=12,
    num_workers=2,
    persistent_workers=True,
    drop_last=True,  # a last batch of one image would spoil the statistics of BatchNorm
    # what is drawn for an image depends on seed, epoch and index alone (docs/reliability.md)
    sampler=dict(type='SeededSampler', shuffle=True),
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
