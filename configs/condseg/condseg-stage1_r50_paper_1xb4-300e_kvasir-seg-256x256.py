_base_ = ['../_base_/presets/stage1_paper.py', '../_base_/datasets/kvasir_seg.py']
train_dataloader = dict(
    batch_size=_base_.batch_size, dataset=dict(pipeline=_base_.stage1_train_pipeline)
)
