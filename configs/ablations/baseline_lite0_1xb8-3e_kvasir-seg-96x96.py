# Ablation: the encoder with the light head of stage 1 in place of neck and decoder.
#     condseg train baseline_lite0_1xb8-3e_kvasir-seg-96x96
# All of the reduced ablation takes an hour for two seeds on one core (docs/results).
_base_ = [
    '../_base_/models/condseg_lite0.py',
    '../_base_/datasets/kvasir_seg_96x96.py',
    '../_base_/schedules/schedule_short.py',
    '../_base_/default_runtime.py',
]
model = dict(
    data_preprocessor=dict(size=_base_.img_size[::-1]),
    neck=None,
    decode_head=dict(
        _delete_=True, type='EncoderFusionHead', in_channels=_base_.model.neck.in_channels
    ),
    auxiliary_head=None,
)
optim_wrapper = dict(optimizer=dict(lr=3e-3))
train_cfg = dict(max_epochs=3)
