# ConDSeg with ResNet-50 at its published widths and our default losses (RGB, ImageNet mean/std).
channels = 128
norm_cfg = dict(type='BN', requires_grad=True)
imagenet = dict(
    type='Pretrained', checkpoint='https://download.pytorch.org/models/resnet50-0676ba61.pth'
)
model = dict(
    type='ValLossEncoderDecoder',  # mmseg's EncoderDecoder that reports val_loss too
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=(256, 256),
    ),
    backbone=dict(
        type='StemResNet',
        depth=50,
        norm_cfg=norm_cfg,
        init_cfg=imagenet,
    ),
    neck=dict(
        type='CDFANeck',
        in_channels=[64, 256, 512, 1024],
        out_channels=channels,
        num_heads=4,
        kernel_size=3,
        sid_outputs=True,
        norm_cfg=norm_cfg,
    ),
    decode_head=dict(
        type='SizeAwareDecodeHead',
        in_channels=[channels] * 4,
        channels=channels,
        head_channels=(128, 64),
        num_classes=2,
        out_channels=1,
        threshold=0.5,
        norm_cfg=norm_cfg,
        loss_decode=dict(type='BCEDiceLoss'),
    ),
    auxiliary_head=dict(
        type='SIDHead',
        in_channels=channels,
        channels=(256, 256, 128, 64, 64),
        norm_cfg=norm_cfg,
        loss_decode=dict(type='SIDLoss'),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
