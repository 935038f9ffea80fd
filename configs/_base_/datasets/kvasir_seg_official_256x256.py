# As kvasir_seg_256x256.py, scored as the released code does: the grey mask is resized bilinearly
# and cut afterwards, and every ratio has 1e-15 added above and below. The background mask of
# training is kept before the augmentation, and so misplaced, as in the released code.
_base_ = './kvasir_seg_256x256.py'

# the first four load, binarise and resize; the last packs
train_pipeline = [
    *_base_.train_pipeline[:4],
    dict(type='KeepBackgroundMask'),
    *_base_.train_pipeline[4:-1],
    dict(type='PackSegInputs', meta_keys=('img_path', 'ori_shape', 'img_shape', 'background_mask')),
]

score = dict(type='ScoreAtInputSize', mask_interpolation='bilinear')
test_pipeline = [score if t['type'] == 'ScoreAtInputSize' else t for t in _base_.test_pipeline]
tta_pipeline = [
    _base_.tta_pipeline[0],
    dict(
        type='TestTimeAug',
        transforms=[
            [score if t['type'] == 'ScoreAtInputSize' else t for t in group]
            for group in _base_.tta_pipeline[1].transforms
        ],
    ),
]

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = [
    dict(type='PerImageBinaryMetric', protocol='input_size', empty_policy='official'),
    dict(type='IoUMetric', prefix='dataset', iou_metrics=['mIoU', 'mDice']),
]
test_evaluator = val_evaluator
