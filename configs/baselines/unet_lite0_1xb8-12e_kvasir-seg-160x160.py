# EfficientNet-Lite0 with the decoder of U-Net (Ronneberger et al., 2015).
#     condseg train unet_lite0_1xb8-12e_kvasir-seg-160x160
# 21 minutes on one core (docs/results/plan.md).
_base_ = [
    '../_base_/models/condseg_lite0.py',
    '../_base_/datasets/kvasir_seg_160x160_augmented.py',
    '../_base_/schedules/schedule_cpu.py',
    '../_base_/default_runtime.py',
]
model = dict(
    data_preprocessor=dict(size=_base_.img_size[::-1]),
    backbone=dict(drop_connect_rate=0),
    neck=None,
    decode_head=dict(
        _delete_=True,
        type='UNetHead',
        in_channels=_base_.model.neck.in_channels,
        channels=48,
    ),
    auxiliary_head=None,
)
train_cfg = dict(max_epochs=12)
