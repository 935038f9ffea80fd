# Stage 1 of condseg_lite2, as of condseg_lite0.
#     condseg train condseg-stage1_lite2_1xb8-3e_kvasir-seg-160x160
# Not trained by us yet; planned in docs/results/plan.md.
_base_ = [
    '../_base_/models/condseg_stage1_lite2.py',
    '../_base_/datasets/kvasir_seg_160x160_augmented.py',
    '../_base_/schedules/schedule_cpu.py',
    '../_base_/default_runtime.py',
]
model = dict(data_preprocessor=dict(size=_base_.img_size[::-1]), backbone=dict(drop_connect_rate=0))
train_dataloader = dict(dataset=dict(pipeline=_base_.stage1_train_pipeline))
train_cfg = dict(max_epochs=3)
