_base_ = ['../_base_/presets/stage2_official.py', '../_base_/datasets/isic2017.py']
stage1 = 'work_dirs/condseg-stage1_r50_official_1xb8-300e_isic2017-256x256'
model = dict(backbone=dict(init_cfg=dict(checkpoint=stage1)))
train_dataloader = dict(
    batch_size=_base_.batch_size, dataset=dict(pipeline=_base_.official_train_pipeline)
)
# the list that picks the checkpoint is the one that is reported
test_dataloader = dict(dataset=dict(ann_file='val.txt'))
val_evaluator = _base_.official_evaluator
test_evaluator = val_evaluator
