# GlaS as `prepare` makes it: 85 to train, 80 (testA and testB) to test. There is no validation
# list: as in the literature the test list picks the checkpoint and is reported.
_base_ = './binary_256x256.py'
data_root = 'data/glas/'
train_dataloader = dict(dataset=dict(data_root=data_root, other_ann_files=('test.txt',)))
val_dataloader = dict(dataset=dict(data_root=data_root, ann_file='test.txt'))
test_dataloader = val_dataloader
