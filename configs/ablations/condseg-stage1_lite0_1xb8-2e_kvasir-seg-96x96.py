# Stage 1 of the reduced ablation.
#     condseg train condseg-stage1_lite0_1xb8-2e_kvasir-seg-96x96
# All of the reduced ablation takes an hour for two seeds on one core (docs/results).
_base_ = [
    '../_base_/models/condseg_stage1_lite0.py',
    '../_base_/datasets/kvasir_seg_96x96.py',
    '../_base_/schedules/schedule_short.py',
    '../_base_/default_runtime.py',
]
model = dict(data_preprocessor=dict(size=_base_.img_size[::-1]))
train_dataloader = dict(dataset=dict(pipeline=_base_.stage1_train_pipeline))
train_cfg = dict(max_epochs=2)
