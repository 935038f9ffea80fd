# fpn_lite0.py with the larger encoder EfficientNet-Lite2.
_base_ = './fpn_lite0.py'
model = dict(backbone=dict(arch='lite2'), neck=dict(in_channels=[16, 24, 48, 120]))
