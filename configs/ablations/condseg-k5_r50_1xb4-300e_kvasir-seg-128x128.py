# Ablation: windows of 5 x 5; 2500 logit channels a level.
#     condseg train condseg-k5_r50_1xb4-300e_kvasir-seg-128x128
# It starts from the encoder of condseg-stage1_r50_1xb8-300e_kvasir-seg-256x256. Not trained by us.
# Take a GPU, as for all configs of 300 epochs.
_base_ = [
    '../_base_/models/condseg_r50_stage2.py',
    '../_base_/datasets/kvasir_seg_128x128.py',
    '../_base_/schedules/schedule_300e.py',
    '../_base_/default_runtime.py',
]
stage1 = 'work_dirs/condseg-stage1_r50_1xb8-300e_kvasir-seg-256x256'
model = dict(
    data_preprocessor=dict(size=_base_.img_size[::-1]),
    backbone=dict(init_cfg=dict(checkpoint=stage1)),
    neck=dict(kernel_size=5),
)
batch_size = 4
train_dataloader = dict(batch_size=batch_size)
auto_scale_lr = dict(base_batch_size=batch_size)
