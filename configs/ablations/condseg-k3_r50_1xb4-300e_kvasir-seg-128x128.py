# Ablation: windows of 3 x 3, at the size at which 7 x 7 (9604 logit channels a level) fits too.
_base_ = '../condseg/condseg_r50_1xb12-300e_kvasir-seg-256x256.py'
img_size = (128, 128)


def at_size(node):
    """Copy a pipeline with every resize at img_size."""
    if isinstance(node, dict):
        size = dict(scale=img_size) if node.get('type') == 'ResizeWithMask' else {}
        return {key: at_size(value) for key, value in node.items()} | size
    return [at_size(item) for item in node] if isinstance(node, list) else node


batch_size = 4
model = dict(data_preprocessor=dict(size=img_size[::-1]))
train_dataloader = dict(
    batch_size=batch_size, dataset=dict(pipeline=at_size(_base_.train_pipeline))
)
val_dataloader = dict(dataset=dict(pipeline=at_size(_base_.test_pipeline)))
test_dataloader = val_dataloader
tta_pipeline = at_size(_base_.tta_pipeline)
auto_scale_lr = dict(base_batch_size=batch_size)
