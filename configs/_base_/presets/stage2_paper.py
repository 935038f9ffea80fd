# Stage 2 as the paper describes it, where it differs from our defaults.
_base_ = './stage2.py'
model = dict(
    neck=dict(attn_order=('bg', 'fg')),
    auxiliary_head=dict(loss_decode=dict(area='mean', max_beta=None)),
)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.1))))
batch_size = 4
auto_scale_lr = dict(base_batch_size=batch_size)
