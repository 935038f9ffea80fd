_base_ = ['../_base_/presets/stage2_paper.py', '../_base_/datasets/kvasir_seg.py']
stage1 = 'work_dirs/condseg-stage1_r50_paper_1xb4-300e_kvasir-seg-256x256'
model = dict(backbone=dict(init_cfg=dict(checkpoint=stage1)))
train_dataloader = dict(batch_size=_base_.batch_size)
