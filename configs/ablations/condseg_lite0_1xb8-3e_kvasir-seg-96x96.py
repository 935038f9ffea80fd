# The whole network in the reduced ablation that a machine without a GPU can run; see docs/results.
_base_ = [
    '../_base_/models/condseg_lite0.py',
    '../_base_/datasets/kvasir_seg_96x96.py',
    '../_base_/schedules/schedule_cpu.py',
    '../_base_/default_runtime.py',
]
max_epochs = 3
model = dict(data_preprocessor=dict(size=_base_.img_size[::-1]))
train_dataloader = dict(batch_size=8)
optim_wrapper = dict(optimizer=dict(lr=3e-3))
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], end=max_epochs, T_max=max_epochs),
]
