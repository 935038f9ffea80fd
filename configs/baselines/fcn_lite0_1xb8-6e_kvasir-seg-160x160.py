# EfficientNet-Lite0 with mmseg's plain FCN head.
#     condseg train fcn_lite0_1xb8-6e_kvasir-seg-160x160
# Less than the 45 minutes of ConDSeg on one core (docs/results/kvasir-seg-160x160).
_base_ = [
    '../_base_/models/fcn_lite0.py',
    '../_base_/datasets/kvasir_seg_160x160.py',
    '../_base_/schedules/schedule_short.py',
    '../_base_/default_runtime.py',
]
model = dict(data_preprocessor=dict(size=_base_.img_size[::-1]))
train_cfg = dict(max_epochs=6)
