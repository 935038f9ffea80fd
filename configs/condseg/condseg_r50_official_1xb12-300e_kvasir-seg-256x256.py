# The released code's choices, defects included, to compare against it.
_base_ = [
    '../_base_/models/condseg_r50_official.py',
    '../_base_/datasets/kvasir_seg_official_256x256.py',
    '../_base_/schedules/schedule_300e.py',
    '../_base_/default_runtime.py',
]
