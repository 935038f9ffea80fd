# Cross-data-set test: a model trained on Kvasir-SEG, tested on all frames of CVC-ClinicDB.
#     condseg evaluate condseg_r50_1xb12-300e_kvasir-seg-to-cvc-clinicdb-256x256 CHECKPOINT
# CHECKPOINT is that of condseg_r50_1xb12-300e_kvasir-seg-256x256, trained as this one.
# Not trained by us.
_base_ = [
    '../_base_/models/condseg_r50_stage2.py',
    '../_base_/datasets/kvasir_seg.py',
    '../_base_/schedules/schedule_300e.py',
    '../_base_/default_runtime.py',
]
stage1 = 'work_dirs/condseg-stage1_r50_1xb8-300e_kvasir-seg-256x256'
model = dict(backbone=dict(init_cfg=dict(checkpoint=stage1)))
test_dataloader = dict(dataset=dict(data_root='data/cvc-clinicdb/', ann_file='all.txt'))
