# As schedule_short.py, but one cycle over the whole training, for networks without weights to start
# from: one rate for all.
_base_ = './schedule_short.py'
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=1.0))))
param_scheduler = dict(
    _delete_=True,
    type='OneCycleLR',
    eta_max=5e-3,
    pct_start=0.1,
    by_epoch=True,
    convert_to_iter_based=True,
)
