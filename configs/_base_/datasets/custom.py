# Your own images: images/, masks/ of the same stem, and lists of stems. `prepare.py custom` makes
# them, and checks them; set data_root to its result.
_base_ = './binary_256x256.py'
data_root = 'data/custom/'
train_dataloader = dict(dataset=dict(data_root=data_root, other_ann_files=('val.txt', 'test.txt')))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = dict(dataset=dict(data_root=data_root, ann_file='test.txt'))
