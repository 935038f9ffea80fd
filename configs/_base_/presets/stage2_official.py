# Stage 2 with the released code's choices, defects included.
_base_ = [
    '../models/condseg_r50_official.py',
    '../schedules/schedule_300e.py',
    '../default_runtime.py',
]
model = dict(  # only parameters are handed over: the statistics of BatchNorm are lost
    backbone=dict(init_cfg=dict(type='StrictPretrained', prefix='backbone.', buffers=False))
)
batch_size = 12
# auto_scale_lr.enable=True scales the learning rate with the batch of all GPUs; epochs stay
auto_scale_lr = dict(enable=False, base_batch_size=batch_size)
