# An AdamW schedule of few steps, by iterations, without an average of the weights: one epoch of
# warm-up (two steps or more), then cosine to the end. A leaf sets train_cfg.max_epochs.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=1e-4),
    # the pretrained encoder moves at a fifth of the new layers' rate
    paramwise_cfg=dict(custom_keys={'backbone': dict(lr_mult=0.2)}),
    clip_grad=dict(max_norm=5.0),
)
# mmengine ends a scheduler without `end` with the training
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=True, convert_to_iter_based=True, end=1),
    dict(type='CosineAnnealingLR', eta_min_ratio=0.001, by_epoch=True, convert_to_iter_based=True),
]
train_cfg = dict(type='NonEmptyEpochTrainLoop', val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
auto_scale_lr = dict(enable=False, base_batch_size=8)
custom_hooks = [dict(type='ChannelsLastHook')]  # faster convolutions on CPUs
