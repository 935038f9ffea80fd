# Cross-data-set test: a model trained on Kvasir-SEG, tested on all frames of CVC-ClinicDB. Give the
# checkpoint of condseg_r50_1xb12-300e_kvasir-seg-256x256.
_base_ = './condseg_r50_1xb12-300e_kvasir-seg-256x256.py'
test_dataloader = dict(dataset=dict(data_root='data/cvc-clinicdb/', ann_file='all.txt'))
