# Stage 1 of ConDSeg with ResNet-50 on Kvasir-Sessile, our defaults.
#     condseg train condseg-stage1_r50_1xb8-300e_kvasir-sessile-256x256
# Not trained by us. 8.66 M parameters and 12.6 GMAC a view (configs/condseg/README.md), two views
# of each image: take a GPU.
_base_ = [
    '../_base_/models/condseg_stage1_r50.py',
    '../_base_/datasets/kvasir_sessile.py',
    '../_base_/schedules/schedule_300e.py',
    '../_base_/default_runtime.py',
]
batch_size = 8
train_dataloader = dict(batch_size=batch_size, dataset=dict(pipeline=_base_.stage1_train_pipeline))
auto_scale_lr = dict(base_batch_size=batch_size)
