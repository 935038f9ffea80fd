# EfficientNet-Lite0 to stride 32 with the decoder of PraNet (Fan et al., 2020), on strides 8 to 32.
#     condseg train pranet_lite0_1xb8-12e_kvasir-seg-160x160
# 11 minutes on one core (docs/results/plan.md).
_base_ = [
    '../_base_/models/condseg_lite0.py',
    '../_base_/datasets/kvasir_seg_160x160_augmented.py',
    '../_base_/schedules/schedule_cpu.py',
    '../_base_/default_runtime.py',
]
model = dict(
    data_preprocessor=dict(size=_base_.img_size[::-1]),
    backbone=dict(drop_connect_rate=0, out_indices=(2, 3, 4)),
    neck=None,
    decode_head=dict(
        _delete_=True,
        type='PraNetHead',
        in_channels=(40, 112, 320),
        reverse_channels=(64, 64, 64),
    ),
    auxiliary_head=None,
)
train_cfg = dict(max_epochs=12)
