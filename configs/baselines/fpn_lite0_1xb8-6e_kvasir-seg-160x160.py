# The encoder of condseg_lite0 with mmseg's FPN neck and head.
#     condseg train fpn_lite0_1xb8-6e_kvasir-seg-160x160
# Less than the 45 minutes of ConDSeg on one core (docs/results/kvasir-seg-160x160).
_base_ = [
    '../_base_/models/condseg_lite0.py',
    '../_base_/datasets/kvasir_seg_160x160.py',
    '../_base_/schedules/schedule_cpu.py',
    '../_base_/default_runtime.py',
]
model = dict(
    data_preprocessor=dict(size=_base_.img_size[::-1]),
    neck=dict(
        _delete_=True,
        type='FPN',
        in_channels=[16, 24, 40, 112],
        out_channels=64,
        num_outs=4,
    ),
    decode_head=dict(
        _delete_=True,
        type='FPNHead',
        in_channels=[64] * 4,
        in_index=[0, 1, 2, 3],
        feature_strides=[2, 4, 8, 16],
        channels=64,
        dropout_ratio=0.1,
        num_classes=2,
        out_channels=1,
        threshold=0.5,
        norm_cfg=dict(type='BN'),
        loss_decode=dict(type='BCEDiceLoss'),
    ),
    auxiliary_head=None,
)
train_cfg = dict(max_epochs=6)
