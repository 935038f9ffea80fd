# What every config needs to run: our types, hooks and logging, all counted in epochs.
custom_imports = dict(imports=['condseg_mmseg'], allow_failed_imports=False)
default_scope = 'mmseg'

env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
randomness = dict(seed=0)

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=True),
    param_scheduler=dict(type='ParamSchedulerHook'),
    # keeps the newest two, to resume from, and the best on the validation images
    checkpoint=dict(
        type='AtomicCheckpointHook',
        by_epoch=True,
        interval=1,
        max_keep_ckpts=2,
        save_best='image/mIoU',
        rule='greater',
    ),
    # stops where a checkpoint is not of this network; SID's third map is used in training only
    strict_load=dict(
        type='StrictLoadHook', training_only=(r'auxiliary_head\.', r'neck\.sid\.uncertainty\.')
    ),
    check_finite=dict(type='CheckFiniteHook'),
    constant_prediction=dict(type='ConstantPredictionHook'),
    # several processes: BatchNorm's statistics are averaged before they are validated and saved
    sync_buffers=dict(type='SyncBuffersHook'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    # a resumed training draws what the uninterrupted one would have, in the network as in the data
    seeded_iterations=dict(type='SeededIterationsHook'),
    visualization=dict(type='SegVisualizationHook'),
)

vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(
    type='InputSizeSegLocalVisualizer', vis_backends=vis_backends, name='visualizer', alpha=0.5
)
log_processor = dict(by_epoch=True)
log_level = 'INFO'
load_from = None
resume = False

# mmseg's SegTTAModel applies the sigmoid of a one-channel head twice
tta_model = dict(type='BinarySegTTAModel')
