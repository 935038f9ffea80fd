# mmseg's U-Net, a quarter of its usual width, from scratch: there are no weights to start from.
_base_ = ['../condseg/condseg_lite0_1xb8-6e_kvasir-seg-160x160.py']
model = dict(
    backbone=dict(
        _delete_=True,
        type='UNet',
        in_channels=3,
        base_channels=16,
        num_stages=5,
        norm_cfg=dict(type='BN'),
        act_cfg=dict(type='ReLU'),
    ),
    neck=None,
    decode_head=dict(
        _delete_=True,
        type='FCNHead',
        in_channels=16,
        in_index=4,
        channels=16,
        num_convs=1,
        kernel_size=3,
        concat_input=False,
        dropout_ratio=0.1,
        num_classes=2,
        out_channels=1,
        threshold=0.5,
        norm_cfg=dict(type='BN'),
        loss_decode=dict(type='BCEDiceLoss'),
    ),
    auxiliary_head=None,
)
# no pretrained encoder to spare: everything moves at the full rate
optim_wrapper = dict(paramwise_cfg=None)
