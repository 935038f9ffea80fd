# Made by `condseg prepare demo`: in train.txt and val.txt small polyps come
# in groups and large ones alone; test.txt breaks this co-occurrence.
_base_ = './binary_256x256.py'
from condseg_mmseg.configs import at_size  # noqa: E402

data_root = 'data/demo/'
img_size = (96, 96)
resize = dict(scale=img_size)
# no holes: at this size they erase small polyps, but not their mask
train_pipeline = at_size([t for t in _base_.train_pipeline if t != _base_.cut_out], img_size)
stage1_train_pipeline = at_size(
    [t for t in _base_.stage1_train_pipeline if t != _base_.cut_out], img_size
)
test_pipeline = at_size(_base_.test_pipeline, img_size)
tta_pipeline = at_size(_base_.tta_pipeline, img_size)

train_dataloader = dict(
    batch_size=8,
    dataset=dict(data_root=data_root, other_ann_files=('val.txt',), pipeline=train_pipeline),
)
val_dataloader = dict(batch_size=8, dataset=dict(data_root=data_root, pipeline=test_pipeline))
test_dataloader = dict(
    batch_size=8,
    dataset=dict(data_root=data_root, ann_file='test.txt', pipeline=test_pipeline),
)
