# Ablation: the baseline with SID and CDFA between encoder and head.
_base_ = '../condseg/condseg_r50_1xb12-300e_kvasir-seg-256x256.py'
model = dict(
    backbone=dict(init_cfg=dict(_delete_=True, **_base_.imagenet)),
    decode_head=dict(
        _delete_=True, type='EncoderFusionHead', in_channels=[_base_.model.neck.out_channels] * 4
    ),
)
