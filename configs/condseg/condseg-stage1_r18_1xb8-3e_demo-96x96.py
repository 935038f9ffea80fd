# Stage 1 of the demo: 120 steps of a ResNet-18 at half width, from random weights.
#     condseg train condseg-stage1_r18_1xb8-3e_demo-96x96
# `condseg demo` runs both stages, in 4 minutes on two cores (README.md).
_base_ = [
    '../_base_/models/condseg_stage1_r50.py',
    '../_base_/datasets/demo_96x96.py',
    '../_base_/schedules/schedule_demo.py',
    '../_base_/default_runtime.py',
]
max_epochs = 3
model = dict(
    data_preprocessor=dict(size=_base_.img_size[::-1]),
    backbone=dict(depth=18, stem_channels=32, base_channels=32, init_cfg=None),
    decode_head=dict(in_channels=[32, 32, 64, 128], channels=16),
)
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
train_dataloader = dict(dataset=dict(pipeline=_base_.stage1_train_pipeline))
