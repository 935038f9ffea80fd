# ConDSeg at a quarter of its width on EfficientNet-Lite0: for machines without a GPU.
_base_ = './condseg_r50.py'
channels = 32
model = dict(
    backbone=dict(_delete_=True, type='EfficientNetLite', out_indices=(0, 1, 2, 3)),
    neck=dict(in_channels=[16, 24, 40, 112], out_channels=channels, sid_channels=64),
    decode_head=dict(in_channels=[channels] * 4, channels=channels, head_channels=(32, 16)),
    auxiliary_head=dict(in_channels=channels, channels=(32, 32, 32, 16, 16)),
)
