# The encoder of condseg_lite0 with mmseg's FPN neck and head.
_base_ = './condseg_lite0.py'
model = dict(
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
