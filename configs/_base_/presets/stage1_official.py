# Stage 1 with the released code's choices, defects included.
_base_ = [
    '../models/condseg_stage1_r50_official.py',
    '../schedules/schedule_300e.py',
    '../default_runtime.py',
]
batch_size = 8
# auto_scale_lr.enable=True scales the learning rate with the batch of all GPUs; epochs stay
auto_scale_lr = dict(enable=False, base_batch_size=batch_size)
