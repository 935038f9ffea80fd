# EfficientNet-Lite0 to stride 32 with the decoder of PraNet (Fan et al., 2020), on strides 8 to 32.
_base_ = ['../condseg/condseg_lite0_1xb8-20e_kvasir-seg-160x160.py']
model = dict(
    backbone=dict(out_indices=(2, 3, 4)),
    neck=None,
    decode_head=dict(
        _delete_=True,
        type='PraNetHead',
        in_channels=(40, 112, 320),
        reverse_channels=(64, 64, 64),
    ),
    auxiliary_head=None,
)
