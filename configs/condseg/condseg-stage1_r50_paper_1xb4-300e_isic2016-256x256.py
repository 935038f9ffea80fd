# Stage 1 of ConDSeg with ResNet-50 on ISIC-2016, the paper's choices.
#     condseg train condseg-stage1_r50_paper_1xb4-300e_isic2016-256x256
# Not trained by us. 8.66 M parameters and 12.6 GMAC a view (configs/condseg/README.md), two views
# of each image: take a GPU.
_base_ = [
    '../_base_/models/condseg_stage1_r50.py',
    '../_base_/datasets/isic2016.py',
    '../_base_/schedules/schedule_300e.py',
    '../_base_/default_runtime.py',
]
batch_size = 4
train_dataloader = dict(batch_size=batch_size, dataset=dict(pipeline=_base_.stage1_train_pipeline))
auto_scale_lr = dict(base_batch_size=batch_size)
