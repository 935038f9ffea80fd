# The 20-epoch config in 6 epochs: about 45 minutes on one core of the machine of docs/results.
_base_ = ['./condseg_lite0_1xb8-20e_kvasir-seg-160x160.py']
max_epochs = 6
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], end=max_epochs, T_max=max_epochs),
]
