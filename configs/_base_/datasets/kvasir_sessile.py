# Kvasir-Sessile, 196 images of Kvasir-SEG, as `prepare` makes it: 156 / 20 / 20 by a rule of ours,
# since the published split was random and is not known.
_base_ = './binary_256x256.py'
data_root = 'data/kvasir-sessile/'
train_dataloader = dict(dataset=dict(data_root=data_root, other_ann_files=('val.txt', 'test.txt')))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = dict(dataset=dict(data_root=data_root, ann_file='test.txt'))
