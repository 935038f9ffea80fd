# Ablation: consistency reinforcement on the whole network in one training, without stage 1.
_base_ = '../condseg/condseg_r50_1xb12-300e_kvasir-seg-256x256.py'
model = dict(
    type='ConsistencyReinforcement',
    data_preprocessor=dict(type='TwoViewSegDataPreProcessor'),
    backbone=dict(init_cfg=dict(_delete_=True, **_base_.imagenet)),
)
