# Ablation: the baseline with SID and CDFA between encoder and head.
_base_ = '../condseg/condseg_lite0_1xb8-20e_kvasir-seg-160x160.py'
model = dict(
    decode_head=dict(
        _delete_=True, type='EncoderFusionHead', in_channels=[_base_.model.neck.out_channels] * 4
    )
)
