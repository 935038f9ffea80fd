# CVC-ClinicDB as `prepare` makes it, split by video sequence. For the usual test of polyp models
# trained elsewhere, all frames, see condseg_r50_1xb12-300e_kvasir-seg-to-cvc-clinicdb-256x256.
_base_ = './binary_256x256.py'
data_root = 'data/cvc-clinicdb/'
train_dataloader = dict(dataset=dict(data_root=data_root, other_ann_files=('val.txt', 'test.txt')))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = dict(dataset=dict(data_root=data_root, ann_file='test.txt'))
