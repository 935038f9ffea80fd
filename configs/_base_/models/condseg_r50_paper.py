# Stage 2, preset paper: as the paper describes it, where it differs from our defaults.
_base_ = './condseg_r50_stage2.py'
model = dict(
    neck=dict(attn_order=('bg', 'fg')),
    auxiliary_head=dict(loss_decode=dict(area='mean', max_beta=None)),
)
