# Ablation: windows of 5 x 5; 2500 logit channels a level.
_base_ = './condseg-k3_r50_1xb4-300e_kvasir-seg-128x128.py'
model = dict(neck=dict(kernel_size=5))
