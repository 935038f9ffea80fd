# Stage 2 after condseg-stage1_lite0_1xb8-5e: together as many iterations as the 20-epoch config.
# Without a stage 1 handed over it starts from ImageNet.
_base_ = ['./condseg_lite0_1xb8-20e_kvasir-seg-160x160.py']
max_epochs = 15
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], end=max_epochs, T_max=max_epochs),
]
