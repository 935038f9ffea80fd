# A small ConDSeg for `make demo`: 160 steps. It can also train without its stage 1.
_base_ = [
    '../_base_/models/condseg_r50.py',
    '../_base_/datasets/demo_96x96.py',
    '../_base_/schedules/schedule_cpu.py',
    '../_base_/default_runtime.py',
]
channels, max_epochs, max_lr = 32, 4, 5e-3
model = dict(
    data_preprocessor=dict(size=(96, 96)),
    backbone=dict(depth=18, stem_channels=32, base_channels=32, init_cfg=None),
    neck=dict(in_channels=[32, 32, 64, 128], out_channels=channels, num_heads=2),
    decode_head=dict(in_channels=[channels] * 4, channels=channels, head_channels=(16, 16)),
    auxiliary_head=dict(in_channels=channels, channels=(16, 16, 16, 8, 8)),
)
# one rate for all: the encoder has seen little so far
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=1.0))))
param_scheduler = dict(
    type='OneCycleLR', eta_max=max_lr, pct_start=0.1, total_steps=max_epochs, _delete_=True,
    by_epoch=True, convert_to_iter_based=True,
)  # fmt: skip
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
