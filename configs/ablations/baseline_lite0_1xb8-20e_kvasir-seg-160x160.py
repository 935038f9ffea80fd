# Ablation: the encoder with the light head of stage 1 in place of neck and decoder.
_base_ = '../condseg/condseg_lite0_1xb8-20e_kvasir-seg-160x160.py'
model = dict(
    neck=None,
    decode_head=dict(
        _delete_=True, type='EncoderFusionHead', in_channels=_base_.model.neck.in_channels
    ),
    auxiliary_head=None,
)
