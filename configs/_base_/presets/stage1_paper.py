# Stage 1 as the paper describes it: our defaults at its batch size.
_base_ = './stage1.py'
batch_size = 4
auto_scale_lr = dict(base_batch_size=batch_size)
