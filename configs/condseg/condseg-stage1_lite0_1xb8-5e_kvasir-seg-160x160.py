# Stage 1 of condseg_lite0 on machines without a GPU: a quarter of the iterations of both stages.
_base_ = [
    '../_base_/models/condseg_stage1_lite0.py',
    '../_base_/datasets/kvasir_seg_160x160_augmented.py',
    '../_base_/schedules/schedule_cpu_ema.py',
    '../_base_/default_runtime.py',
]
max_epochs = 5
model = dict(data_preprocessor=dict(size=(160, 160)), backbone=dict(drop_connect_rate=0))
train_dataloader = dict(batch_size=8, dataset=dict(pipeline=_base_.stage1_train_pipeline))
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], end=max_epochs, T_max=max_epochs),
]
