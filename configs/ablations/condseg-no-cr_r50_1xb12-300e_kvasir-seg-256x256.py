# Ablation: without consistency reinforcement; the encoder starts from ImageNet.
_base_ = '../condseg/condseg_r50_1xb12-300e_kvasir-seg-256x256.py'
model = dict(backbone=dict(init_cfg=dict(_delete_=True, **_base_.imagenet)))
