# EfficientNet-Lite2 with mmseg's FPN.
#     condseg train fpn_lite2_1xb8-12e_kvasir-seg-160x160
# Not trained by us yet; planned in docs/results/plan.md.
_base_ = [
    '../_base_/models/fpn_lite2.py',
    '../_base_/datasets/kvasir_seg_160x160_augmented.py',
    '../_base_/schedules/schedule_cpu.py',
    '../_base_/default_runtime.py',
]
channels = 104  # about the parameters of ConDSeg
model = dict(
    data_preprocessor=dict(size=_base_.img_size[::-1]),
    backbone=dict(drop_connect_rate=0),
    neck=dict(out_channels=channels),
    decode_head=dict(in_channels=[channels] * 4, channels=channels),
)
train_cfg = dict(max_epochs=12)
