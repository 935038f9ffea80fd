# mmseg's U-Net, a quarter of its usual width, from scratch: there are no weights to start from.
#     condseg train unet_b16_1xb8-6e_kvasir-seg-160x160
# Less than the 45 minutes of ConDSeg on one core (docs/results/kvasir-seg-160x160).
_base_ = [
    '../_base_/models/condseg_lite0.py',
    '../_base_/datasets/kvasir_seg_160x160.py',
    '../_base_/schedules/schedule_short.py',
    '../_base_/default_runtime.py',
]
model = dict(
    data_preprocessor=dict(size=_base_.img_size[::-1]),
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
train_cfg = dict(max_epochs=6)
