# Stage 1 of `make demo`: 120 steps of a ResNet-18 at half width, from random weights.
_base_ = [
    '../_base_/models/condseg_stage1_r50.py',
    '../_base_/datasets/demo_96x96.py',
    '../_base_/schedules/schedule_cpu.py',
    '../_base_/default_runtime.py',
]
max_epochs, max_lr = 3, 5e-3
model = dict(
    data_preprocessor=dict(size=(96, 96)),
    backbone=dict(depth=18, stem_channels=32, base_channels=32, init_cfg=None),
    decode_head=dict(in_channels=[32, 32, 64, 128], channels=16),
)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=1.0))))
param_scheduler = dict(
    type='OneCycleLR', eta_max=max_lr, pct_start=0.1, total_steps=max_epochs, _delete_=True,
    by_epoch=True, convert_to_iter_based=True,
)  # fmt: skip
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
train_dataloader = dict(dataset=dict(pipeline=_base_.stage1_train_pipeline))
