# As kvasir_seg.py, at the size that a machine without a GPU can train.
_base_ = './kvasir_seg.py'

img_size = (160, 160)


def at_size(node):
    """Copy a pipeline with every resize at img_size."""
    if isinstance(node, dict):
        size = dict(scale=img_size) if node.get('type') == 'ResizeWithMask' else {}
        return {key: at_size(value) for key, value in node.items()} | size
    return [at_size(item) for item in node] if isinstance(node, list) else node


train_pipeline = at_size(_base_.train_pipeline)
stage1_train_pipeline = at_size(_base_.stage1_train_pipeline)
test_pipeline = at_size(_base_.test_pipeline)
tta_pipeline = at_size(_base_.tta_pipeline)

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
