# Stage 2 after condseg-stage1_lite0_1xb8-3e: together as many steps as the 12-epoch config.
#     condseg train condseg-stage1_lite0_1xb8-3e_kvasir-seg-160x160 \
#         condseg_lite0_1xb8-9e_kvasir-seg-160x160
# Without a stage 1 handed over it starts from ImageNet. 39 minutes on one core
# (docs/results/plan.md).
_base_ = [
    '../_base_/models/condseg_lite0.py',
    '../_base_/datasets/kvasir_seg_160x160_augmented.py',
    '../_base_/schedules/schedule_cpu.py',
    '../_base_/default_runtime.py',
]
model = dict(data_preprocessor=dict(size=_base_.img_size[::-1]), backbone=dict(drop_connect_rate=0))
train_cfg = dict(max_epochs=9)
