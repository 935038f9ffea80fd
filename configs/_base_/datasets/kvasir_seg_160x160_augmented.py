# As kvasir_seg_160x160.py, for the short schedule: more flips, wider rotation and mild changes of
# colour, no cut-out.
_base_ = './kvasir_seg_160x160.py'

scale = dict(
    type='RandomResize',
    scale=_base_.img_size,
    ratio_range=(1.0, 1.0),  # a wider range zooms: what is larger is cropped, smaller ones padded
    resize_type='ResizeWithMask',
    keep_ratio=False,
)
colour = dict(
    type='PhotoMetricDistortion',  # each of the four with probability 0.5
    brightness_delta=16,
    contrast_range=(0.8, 1.2),
    saturation_range=(0.8, 1.2),
    hue_delta=4,  # of 180
)
train_pipeline = [
    _base_.load,
    _base_.load_mask,
    scale,
    dict(type='RandomRotate', prob=0.5, degree=45, pad_val=0, seg_pad_val=255),
    dict(type='RandomCrop', crop_size=_base_.img_size[::-1]),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandomFlip', prob=0.5, direction='vertical'),
    colour,
    _base_.pack,
]
# stage 1 turns further; its strong view changes the colours once more
stage1_train_pipeline = [
    dict(step, degree=90) if step['type'] == 'RandomRotate' else step for step in train_pipeline
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
