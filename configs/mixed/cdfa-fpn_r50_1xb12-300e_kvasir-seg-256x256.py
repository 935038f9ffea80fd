# CDFANeck inside another mmseg model: ResNet-50 at strides 4 to 32, and mmseg's FPN head.
_base_ = ['../condseg/condseg_r50_1xb12-300e_kvasir-seg-256x256.py']
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
