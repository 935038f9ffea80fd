# The encoder of condseg_lite0 with mmseg's plain FCN head on its deepest map (stride 16).
#     condseg train fcn_lite0_1xb8-6e_kvasir-seg-160x160
# Less than the 45 minutes of ConDSeg on one core (docs/results/kvasir-seg-160x160).
_base_ = [
    '../_base_/models/condseg_lite0.py',
    '../_base_/datasets/kvasir_seg_160x160.py',
    '../_base_/schedules/schedule_cpu.py',
    '../_base_/default_runtime.py',
]
model = dict(
    data_preprocessor=dict(size=_base_.img_size[::-1]),
    neck=None,
    decode_head=dict(
        _delete_=True,
        type='FCNHead',
        in_channels=112,
        in_index=3,
        channels=112,
        num_convs=2,
        kernel_size=3,
        concat_input=True,
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
