# ConDSeg with ResNet-50 on ISIC-2016, the released code's choices: stage 2, after stage 1.
#     condseg train condseg-stage1_r50_official_1xb8-300e_isic2016-256x256 \
#         condseg_r50_official_1xb12-300e_isic2016-256x256
# Not trained by us. 45.55 M parameters; a step of 12 images takes 61 s on two CPU threads
# (docs/performance.md), so take a GPU.
_base_ = [
    '../_base_/models/condseg_r50_official.py',
    '../_base_/datasets/isic2016.py',
    '../_base_/schedules/schedule_300e.py',
    '../_base_/default_runtime.py',
    '../_base_/presets/official.py',
]
stage1 = 'work_dirs/condseg-stage1_r50_official_1xb8-300e_isic2016-256x256'
model = dict(backbone=dict(init_cfg=dict(checkpoint=stage1)))
train_dataloader = dict(dataset=dict(pipeline=_base_.official_train_pipeline))
val_evaluator = test_evaluator = _base_.official_evaluator
