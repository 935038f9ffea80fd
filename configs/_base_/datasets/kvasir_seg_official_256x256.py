# As kvasir_seg_256x256.py, scored as the released code does: the grey mask is resized bilinearly
# and cut afterwards, and every ratio has 1e-15 added above and below.
_base_ = './kvasir_seg_256x256.py'

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

val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = [
    dict(type='PerImageBinaryMetric', protocol='input_size', empty_policy='official'),
    dict(type='IoUMetric', prefix='dataset', iou_metrics=['mIoU', 'mDice']),
]
test_evaluator = val_evaluator
