# As kvasir_seg_256x256.py, at the size that a machine without a GPU can train.
_base_ = './kvasir_seg_256x256.py'

img_size = (160, 160)
train_pipeline = [
    dict(t, scale=img_size) if t['type'] == 'Resize' else t for t in _base_.train_pipeline
]
test_pipeline = [
    dict(t, scale=img_size) if t['type'] == 'Resize' else t for t in _base_.test_pipeline
]
tta_pipeline = [
    _base_.tta_pipeline[0],
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(t, scale=img_size) if t['type'] == 'Resize' else t for t in group]
            for group in _base_.tta_pipeline[1].transforms
        ],
    ),
]

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
