# The recipe for CPUs: schedule_short.py at twice the rate, with an average of the weights, which is
# what is validated and saved. Of mmengine's checkpoints, state_dict is the average and
# ema_state_dict what trains on.
_base_ = './schedule_short.py'
optim_wrapper = dict(
    optimizer=dict(lr=2e-3), paramwise_cfg=dict(custom_keys={'backbone': dict(lr_mult=0.25)})
)
custom_hooks = [
    # about the last epoch of 110 steps, BatchNorm's statistics included; before ChannelsLastHook,
    # which makes the weights that both put into a checkpoint contiguous
    dict(type='EMAHook', momentum=0.01, update_buffers=True),
    *_base_.custom_hooks,
]
