# Ablation: consistency reinforcement on the whole network in one training, without stage 1.
_base_ = './condseg_lite0_1xb8-3e_kvasir-seg-96x96.py'
model = dict(
    type='ConsistencyReinforcement',
    data_preprocessor=dict(type='TwoViewSegDataPreProcessor'),
)
