# Stage 2 with our defaults: it starts from the encoder of stage 1, BatchNorm statistics included.
# A leaf names the working directory of its stage 1, or a checkpoint.
_base_ = ['../models/condseg_r50.py', '../schedules/schedule_300e.py', '../default_runtime.py']
model = dict(backbone=dict(init_cfg=dict(type='StrictPretrained', prefix='backbone.')))
batch_size = 12
# auto_scale_lr.enable=True scales the learning rate with the batch of all GPUs; epochs stay
auto_scale_lr = dict(enable=False, base_batch_size=batch_size)
