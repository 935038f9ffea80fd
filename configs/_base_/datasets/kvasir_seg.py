# Kvasir-SEG as its authors publish it (images/, masks/) with the official split (train.txt: 880,
# val.txt: 120). There is no test list: the validation list picks the checkpoint and is reported.
_base_ = './binary_256x256.py'
data_root = 'data/kvasir-seg/'
train_dataloader = dict(dataset=dict(data_root=data_root, other_ann_files=('val.txt',)))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
