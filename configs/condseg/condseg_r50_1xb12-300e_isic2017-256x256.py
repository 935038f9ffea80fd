# ConDSeg with ResNet-50 on ISIC-2017, our defaults: stage 2, after stage 1.
#     condseg train condseg-stage1_r50_1xb8-300e_isic2017-256x256 \
#         condseg_r50_1xb12-300e_isic2017-256x256
# Not trained by us. 45.55 M parameters; a step of 12 images takes 61 s on two CPU threads
# (docs/performance.md), so take a GPU.
_base_ = [
    '../_base_/models/condseg_r50_stage2.py',
    '../_base_/datasets/isic2017.py',
    '../_base_/schedules/schedule_300e.py',
    '../_base_/default_runtime.py',
]
stage1 = 'work_dirs/condseg-stage1_r50_1xb8-300e_isic2017-256x256'
model = dict(backbone=dict(init_cfg=dict(checkpoint=stage1)))
