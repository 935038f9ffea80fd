# As kvasir_seg_160x160.py, for the short schedule: more flips, wider rotation and mild changes of
# colour, no cut-out. In stage 1 the strong view changes the colours already.
_base_ = './kvasir_seg_160x160.py'

colour = dict(
    type='PhotoMetricDistortion',  # each of the four with probability 0.5
    brightness_delta=16,
    contrast_range=(0.8, 1.2),
    saturation_range=(0.8, 1.2),
    hue_delta=4,  # of 180
)
flips = [dict(type='RandomFlip', prob=0.5, direction=way) for way in ('horizontal', 'vertical')]
train_pipeline = [
    *_base_.train_pipeline[:4],  # load, binarize, resize
    dict(type='RandomRotate', prob=0.5, degree=45, pad_val=0, seg_pad_val=255),
    *flips,
    colour,
    _base_.pack,
]
stage1_train_pipeline = [
    *_base_.train_pipeline[:4],
    dict(type='RandomRotate', prob=0.5, degree=90, pad_val=0, seg_pad_val=255),
    *flips,
    _base_.pack,
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
