# The encoder of condseg_lite0 with the decoder of U-Net++ (Zhou et al., 2018).
_base_ = ['./unet_lite0_1xb8-20e_kvasir-seg-160x160.py']
model = dict(decode_head=dict(nested=True, channels=40))
