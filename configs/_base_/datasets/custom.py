# Your own images: images/, masks/ of the same stem, and lists of stems. `prepare custom` makes
# them, and checks them; set data_root to its result. Without a test list, test on
# ann_file='val.txt'.
_base_ = './binary_256x256.py'
data_root = 'data/custom/'
train_dataloader = dict(dataset=dict(data_root=data_root, other_ann_files=('val.txt',)))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = dict(dataset=dict(data_root=data_root, ann_file='test.txt'))
