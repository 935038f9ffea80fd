# Ablation: the encoder with the light head of stage 1 in place of neck and decoder.
_base_ = '../condseg/condseg_r50_1xb12-300e_kvasir-seg-256x256.py'
model = dict(
    backbone=dict(init_cfg=dict(_delete_=True, **_base_.imagenet)),
    neck=None,
    decode_head=dict(
        _delete_=True, type='EncoderFusionHead', in_channels=_base_.model.neck.in_channels
    ),
    auxiliary_head=None,
)
