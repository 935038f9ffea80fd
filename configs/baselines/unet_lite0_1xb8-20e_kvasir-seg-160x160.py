# The encoder of condseg_lite0 with the decoder of U-Net (Ronneberger et al., 2015).
_base_ = ['../condseg/condseg_lite0_1xb8-20e_kvasir-seg-160x160.py']
model = dict(
    neck=None,
    decode_head=dict(
        _delete_=True, type='UNetHead', in_channels=_base_.model.neck.in_channels, channels=48
    ),
    auxiliary_head=None,
)
