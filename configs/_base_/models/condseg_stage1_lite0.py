# Stage 1 for machines without a GPU: EfficientNet-Lite0 and a head of half the usual width.
_base_ = './condseg_stage1_r50.py'
model = dict(
    backbone=dict(_delete_=True, type='EfficientNetLite', out_indices=(0, 1, 2, 3)),
    decode_head=dict(in_channels=[16, 24, 40, 112], channels=32),
)
