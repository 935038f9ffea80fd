# Stage 2: it starts from the encoder of stage 1, BatchNorm statistics included. A leaf names the
# working directory of its stage 1, or a checkpoint.
_base_ = './condseg_r50.py'
model = dict(backbone=dict(init_cfg=dict(type='StrictPretrained', prefix='backbone.')))
