# Ablation: consistency reinforcement on the whole network in one training, without stage 1.
#     condseg train condseg-one-stage_lite0_1xb8-3e_kvasir-seg-96x96
# All of the reduced ablation takes an hour for two seeds on one core (docs/results).
_base_ = [
    '../_base_/models/condseg_lite0.py',
    '../_base_/datasets/kvasir_seg_96x96.py',
    '../_base_/schedules/schedule_short.py',
    '../_base_/default_runtime.py',
]
model = dict(
    type='ConsistencyReinforcement',
    data_preprocessor=dict(type='TwoViewSegDataPreProcessor', size=_base_.img_size[::-1]),
)
optim_wrapper = dict(optimizer=dict(lr=3e-3))
train_cfg = dict(max_epochs=3)
