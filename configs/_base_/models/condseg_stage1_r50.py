# Stage 1, Consistency Reinforcement: the encoder of condseg_r50.py and a light head.
_base_ = './condseg_r50.py'
model = dict(
    type='ConsistencyReinforcement',
    data_preprocessor=dict(type='TwoViewSegDataPreProcessor'),
    neck=None,
    decode_head=dict(
        _delete_=True,
        type='EncoderFusionHead',
        in_channels=_base_.model.neck.in_channels,
        channels=64,
        num_classes=2,
        norm_cfg=_base_.norm_cfg,
        loss_decode=dict(type='BCEDiceLoss'),
    ),
    auxiliary_head=None,
    loss_consistency=dict(type='ConsistencyLoss', loss_weight=0.5),
)
