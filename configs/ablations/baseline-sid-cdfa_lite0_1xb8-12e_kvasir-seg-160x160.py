# Ablation: the baseline with SID and CDFA between encoder and head.
#     condseg train baseline-sid-cdfa_lite0_1xb8-12e_kvasir-seg-160x160
# Not trained by us yet; less than the 52 minutes of ConDSeg on one core (docs/results/plan.md).
_base_ = [
    '../_base_/models/condseg_lite0.py',
    '../_base_/datasets/kvasir_seg_160x160_augmented.py',
    '../_base_/schedules/schedule_cpu.py',
    '../_base_/default_runtime.py',
]
model = dict(
    data_preprocessor=dict(size=_base_.img_size[::-1]),
    backbone=dict(drop_connect_rate=0),
    decode_head=dict(
        _delete_=True, type='EncoderFusionHead', in_channels=[_base_.model.neck.out_channels] * 4
    ),
)
train_cfg = dict(max_epochs=12)
