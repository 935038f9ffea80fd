# EfficientNet-Lite0 with mmseg's plain FCN head.
#     condseg train fcn_lite0_1xb8-12e_kvasir-seg-160x160
# 7 minutes on one core (docs/results/plan.md).
_base_ = [
    '../_base_/models/fcn_lite0.py',
    '../_base_/datasets/kvasir_seg_160x160_augmented.py',
    '../_base_/schedules/schedule_cpu.py',
    '../_base_/default_runtime.py',
]
model = dict(
    data_preprocessor=dict(size=_base_.img_size[::-1]),
    backbone=dict(drop_connect_rate=0),
    decode_head=dict(channels=192),  # about the parameters of ConDSeg
)
train_cfg = dict(max_epochs=12)
