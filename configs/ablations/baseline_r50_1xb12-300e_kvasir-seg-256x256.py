# Ablation: the encoder with the light head of stage 1 in place of neck and decoder.
#     condseg train baseline_r50_1xb12-300e_kvasir-seg-256x256
# Not trained by us. Take a GPU, as for all configs of 300 epochs.
_base_ = [
    '../_base_/models/condseg_r50.py',
    '../_base_/datasets/kvasir_seg.py',
    '../_base_/schedules/schedule_300e.py',
    '../_base_/default_runtime.py',
]
model = dict(
    neck=None,
    decode_head=dict(
        _delete_=True, type='EncoderFusionHead', in_channels=_base_.model.neck.in_channels
    ),
    auxiliary_head=None,
)
