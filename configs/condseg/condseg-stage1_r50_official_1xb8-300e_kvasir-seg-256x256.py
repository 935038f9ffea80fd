# Stage 1 of ConDSeg with ResNet-50 on Kvasir-SEG, the released code's choices.
#     condseg train condseg-stage1_r50_official_1xb8-300e_kvasir-seg-256x256
# Not trained by us. 8.66 M parameters and 12.6 GMAC a view (configs/condseg/README.md), two views
# of each image: take a GPU.
_base_ = [
    '../_base_/models/condseg_stage1_r50_official.py',
    '../_base_/datasets/kvasir_seg.py',
    '../_base_/schedules/schedule_300e.py',
    '../_base_/default_runtime.py',
    '../_base_/presets/official.py',
]
batch_size = 8
train_dataloader = dict(
    batch_size=batch_size, dataset=dict(pipeline=_base_.official_stage1_train_pipeline)
)
auto_scale_lr = dict(base_batch_size=batch_size)
val_evaluator = test_evaluator = _base_.official_evaluator
