# Stage 2, preset official, with the switches of the released code: BGR / 255, sigmoid twice,
# softmax in L_comp, unbounded betas, parameters of stage 1 without BatchNorm's statistics.
_base_ = './condseg_r50_stage2.py'
model = dict(
    data_preprocessor=dict(mean=[0.0, 0.0, 0.0], std=[255.0, 255.0, 255.0], bgr_to_rgb=False),
    backbone=dict(init_cfg=dict(buffers=False)),
    decode_head=dict(loss_decode=dict(double_sigmoid=True)),
    auxiliary_head=dict(
        background_target='stored',
        loss_decode=dict(double_sigmoid=True, comp_softmax=True, detach_beta=False, max_beta=None),
    ),
)
