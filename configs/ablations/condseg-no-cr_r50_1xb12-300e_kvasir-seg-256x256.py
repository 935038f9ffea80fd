# Ablation: without consistency reinforcement; the encoder starts from ImageNet.
#     condseg train condseg-no-cr_r50_1xb12-300e_kvasir-seg-256x256
# Not trained by us. 45.55 M parameters; a step of 12 images takes 61 s on two CPU threads
# (docs/performance.md), so take a GPU.
_base_ = [
    '../_base_/models/condseg_r50.py',
    '../_base_/datasets/kvasir_seg.py',
    '../_base_/schedules/schedule_300e.py',
    '../_base_/default_runtime.py',
]
