# Switches of the released code: BGR / 255, sigmoid twice, softmax in L_comp, unbounded betas.
_base_ = ['./condseg_r50.py']
model = dict(
    data_preprocessor=dict(mean=[0.0, 0.0, 0.0], std=[255.0, 255.0, 255.0], bgr_to_rgb=False),
    decode_head=dict(loss_decode=dict(double_sigmoid=True)),
    auxiliary_head=dict(
        background_target='stored',
        loss_decode=dict(double_sigmoid=True, comp_softmax=True, detach_beta=False, max_beta=None),
    ),
)
