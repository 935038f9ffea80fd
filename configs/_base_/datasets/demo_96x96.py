# Made by `condseg prepare demo`: in train.txt and val.txt small polyps come
# in groups and large ones alone; test.txt breaks this co-occurrence.
_base_ = './binary_256x256.py'

data_root = 'data/demo/'
img_size = (96, 96)


def at_size(node):
    """Copy a pipeline with every resize at img_size."""
    if isinstance(node, dict):
        size = dict(scale=img_size) if node.get('type') == 'ResizeWithMask' else {}
        return {key: at_size(value) for key, value in node.items()} | size
    return [at_size(item) for item in node] if isinstance(node, list) else node


# no holes: at this size they erase small polyps, but not their mask
train_pipeline = [t for t in at_size(_base_.train_pipeline) if t['type'] != 'RandomCutOut']
stage1_train_pipeline = [
    t for t in at_size(_base_.stage1_train_pipeline) if t['type'] != 'RandomCutOut'
]
test_pipeline = at_size(_base_.test_pipeline)
tta_pipeline = at_size(_base_.tta_pipeline)

train_dataloader = dict(
    batch_size=8,
    dataset=dict(data_root=data_root, other_ann_files=('val.txt',), pipeline=train_pipeline),
)
val_dataloader = dict(batch_size=8, dataset=dict(data_root=data_root, pipeline=test_pipeline))
test_dataloader = dict(
    batch_size=8,
    dataset=dict(data_root=data_root, ann_file='test.txt', pipeline=test_pipeline),
)
