# Stage 1, preset official, with the switches of the released code: BGR / 255, sigmoid twice, L_cons
# without 1/2, one draw per batch, a blur 7 high and 1 wide, colour functions on BGR.
_base_ = './condseg_stage1_r50.py'
model = dict(
    data_preprocessor=dict(
        mean=[0.0, 0.0, 0.0],
        std=[255.0, 255.0, 255.0],
        bgr_to_rgb=False,
        channel_order='bgr',
        strong_view=dict(same_on_batch=True, blur_kernel=(7, 1)),
    ),
    decode_head=dict(loss_decode=dict(double_sigmoid=True)),
    loss_consistency=dict(loss_weight=1.0),
)
