# CDFANeck inside another mmseg model: ResNet-50 at strides 4 to 32, and mmseg's FPN head.
#     condseg train cdfa-fpn_r50_1xb12-300e_kvasir-seg-256x256
# Not trained by us. Take a GPU, as for all configs of 300 epochs.
_base_ = [
    '../_base_/models/condseg_r50.py',
    '../_base_/datasets/kvasir_seg.py',
    '../_base_/schedules/schedule_300e.py',
    '../_base_/default_runtime.py',
]
model = dict(
    backbone=dict(_delete_=True, type='ResNet', depth=50, init_cfg=_base_.imagenet),
    neck=dict(in_channels=[256, 512, 1024, 2048], sid_outputs=False),
    decode_head=dict(
        _delete_=True,
        type='FPNHead',
        in_channels=[128] * 4,
        in_index=[0, 1, 2, 3],
        feature_strides=[4, 8, 16, 32],
        channels=128,
        num_classes=2,
        out_channels=1,
        threshold=0.5,
        norm_cfg=dict(type='BN'),
        loss_decode=dict(type='BCEDiceLoss'),
    ),
    auxiliary_head=None,
)
