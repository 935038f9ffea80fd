_base_ = ['../_base_/presets/stage1_official.py', '../_base_/datasets/kvasir_seg.py']
train_dataloader = dict(
    batch_size=_base_.batch_size, dataset=dict(pipeline=_base_.official_stage1_train_pipeline)
)
val_evaluator = _base_.official_evaluator
test_evaluator = val_evaluator
