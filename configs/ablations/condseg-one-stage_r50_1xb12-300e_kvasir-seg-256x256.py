# Ablation: consistency reinforcement on the whole network in one training, without stage 1.
#     condseg train condseg-one-stage_r50_1xb12-300e_kvasir-seg-256x256
# Not trained by us. Take a GPU, as for all configs of 300 epochs.
_base_ = [
    '../_base_/models/condseg_r50.py',
    '../_base_/datasets/kvasir_seg.py',
    '../_base_/schedules/schedule_300e.py',
    '../_base_/default_runtime.py',
]
model = dict(
    type='ConsistencyReinforcement',
    data_preprocessor=dict(type='TwoViewSegDataPreProcessor'),
)
