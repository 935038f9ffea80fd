# As kvasir_seg.py, at a size that a machine without a GPU can train, in batches of 8.
_base_ = './kvasir_seg.py'
from condseg_mmseg.configs import at_size  # noqa: E402

img_size = (160, 160)
resize = dict(scale=img_size)
train_pipeline = at_size(_base_.train_pipeline, img_size)
stage1_train_pipeline = at_size(_base_.stage1_train_pipeline, img_size)
test_pipeline = at_size(_base_.test_pipeline, img_size)
tta_pipeline = at_size(_base_.tta_pipeline, img_size)
train_dataloader = dict(batch_size=8, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
