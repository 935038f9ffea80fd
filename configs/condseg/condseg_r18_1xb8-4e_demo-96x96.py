# A small ConDSeg for the demo: 160 steps.
#     condseg train condseg-stage1_r18_1xb8-3e_demo-96x96 condseg_r18_1xb8-4e_demo-96x96
# `condseg demo` runs both stages, in 4 minutes on two cores (README.md). Alone it trains from
# random weights.
_base_ = [
    '../_base_/models/condseg_r50.py',
    '../_base_/datasets/demo_96x96.py',
    '../_base_/schedules/schedule_demo.py',
    '../_base_/default_runtime.py',
]
channels, max_epochs = 32, 4
model = dict(
    data_preprocessor=dict(size=_base_.img_size[::-1]),
    backbone=dict(depth=18, stem_channels=32, base_channels=32, init_cfg=None),
    neck=dict(in_channels=[32, 32, 64, 128], out_channels=channels, num_heads=2),
    decode_head=dict(in_channels=[channels] * 4, channels=channels, head_channels=(16, 16)),
    auxiliary_head=dict(in_channels=channels, channels=(16, 16, 16, 8, 8)),
)
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
