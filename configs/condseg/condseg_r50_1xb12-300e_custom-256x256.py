# Your own images: set data_root in the base, or of the three dataloaders with --cfg-options.
_base_ = ['../_base_/presets/stage2.py', '../_base_/datasets/custom.py']
stage1 = 'work_dirs/condseg-stage1_r50_1xb8-300e_custom-256x256'
model = dict(backbone=dict(init_cfg=dict(checkpoint=stage1)))
train_dataloader = dict(batch_size=_base_.batch_size)
