# ISIC 2017, part 1, as `prepare` makes it: 2000 / 150 / 600, the owners' split.
_base_ = './binary_256x256.py'
data_root = 'data/isic2017/'
train_dataloader = dict(dataset=dict(data_root=data_root, other_ann_files=('val.txt', 'test.txt')))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = dict(dataset=dict(data_root=data_root, ann_file='test.txt'))
