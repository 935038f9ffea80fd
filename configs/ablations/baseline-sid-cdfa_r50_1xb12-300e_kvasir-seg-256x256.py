# Ablation: the baseline with SID and CDFA between encoder and head.
#     condseg train baseline-sid-cdfa_r50_1xb12-300e_kvasir-seg-256x256
# Not trained by us. Take a GPU, as for all configs of 300 epochs.
_base_ = [
    '../_base_/models/condseg_r50.py',
    '../_base_/datasets/kvasir_seg.py',
    '../_base_/schedules/schedule_300e.py',
    '../_base_/default_runtime.py',
]
model = dict(
    decode_head=dict(
        _delete_=True, type='EncoderFusionHead', in_channels=[_base_.model.neck.out_channels] * 4
    ),
)
