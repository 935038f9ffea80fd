# ISIC 2016, part 1, as `prepare` makes it: 900 to train, 379 to test. There is no validation list:
# as in the literature the test list picks the checkpoint and is reported.
_base_ = './binary_256x256.py'
data_root = 'data/isic2016/'
train_dataloader = dict(dataset=dict(data_root=data_root, other_ann_files=('test.txt',)))
val_dataloader = dict(dataset=dict(data_root=data_root, ann_file='test.txt'))
test_dataloader = val_dataloader
