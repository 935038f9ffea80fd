_base_ = [
    '../_base_/models/condseg_r50.py',
    '../_base_/datasets/kvasir_seg_256x256.py',
    '../_base_/schedules/schedule_300e.py',
    '../_base_/default_runtime.py',
]
