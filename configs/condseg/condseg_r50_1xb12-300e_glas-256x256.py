_base_ = ['../_base_/presets/stage2.py', '../_base_/datasets/glas.py']
stage1 = 'work_dirs/condseg-stage1_r50_1xb8-300e_glas-256x256'
model = dict(backbone=dict(init_cfg=dict(checkpoint=stage1)))
train_dataloader = dict(batch_size=_base_.batch_size)
