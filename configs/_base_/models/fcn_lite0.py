# The encoder of condseg_lite0 with mmseg's plain FCN head on its deepest map (stride 16).
_base_ = './condseg_lite0.py'
model = dict(
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
