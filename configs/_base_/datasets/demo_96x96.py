# Made by tools/dataset_converters/make_demo_dataset.py: in train.txt and val.txt small polyps come
# in groups and large ones alone; test.txt breaks this co-occurrence.
_base_ = './kvasir_seg_256x256.py'

data_root = 'data/demo/'
img_size = (96, 96)
train_pipeline = [
    dict(t, scale=img_size) if t['type'] == 'Resize' else t
    for t in _base_.train_pipeline
    if t['type'] != 'RandomCutOut'  # at this size it erases small polyps, but not their mask
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

train_dataloader = dict(batch_size=8, dataset=dict(data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(batch_size=8, dataset=dict(data_root=data_root, pipeline=test_pipeline))
test_dataloader = dict(
    batch_size=8,
    dataset=dict(data_root=data_root, ann_file='test.txt', pipeline=test_pipeline),
)
