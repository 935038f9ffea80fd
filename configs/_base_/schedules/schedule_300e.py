# Adam at 1e-4; lr / 10 after 30 epochs in which the validation loss does not fall, stop after 100
# without a better score (method, "Settings"). To let the score lower the rate as well:
#     --cfg-options param_scheduler.0.monitor=image/mIoU param_scheduler.0.rule=greater
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-4))
param_scheduler = [
    dict(
        type='ReduceOnPlateauLR',
        monitor='val_loss',
        rule='less',
        factor=0.1,
        patience=30,
        by_epoch=True,
    ),
]
train_cfg = dict(type='NonEmptyEpochTrainLoop', max_epochs=300, val_interval=1)
# auto_scale_lr.enable=True scales the learning rate with the batch of all GPUs; epochs stay
auto_scale_lr = dict(enable=False, base_batch_size=12)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
# min_delta: mmengine's default of 0.1 would count a gain of 0.09 points as none
custom_hooks = [
    dict(
        type='EarlyStoppingHook', monitor='image/mIoU', rule='greater', patience=100, min_delta=0.0
    ),
]
