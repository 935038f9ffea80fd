"""Data sets made of real files, where they are."""

from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT
from mmcv.transforms import Compose
from preparation.samples import encode, glas, make_zip, names

from condseg_mmseg.datasets import BinaryMedicalDataset

IMAGE = np.full((8, 16, 3), 120, np.uint8)
SPLITS = ROOT / 'configs' / 'splits'


def foreground(root, prefix, suffix, ann_file, mode):
    """The masks of a list as the training pipeline sees them, by name."""
    data = BinaryMedicalDataset(
        data_root=str(root),
        ann_file=str(ann_file),
        data_prefix=dict(img_path=prefix[0], seg_map_path=prefix[1]),
        seg_map_suffix=suffix,
        test_mode=True,
    )
    load = Compose([dict(type='LoadImageFromFile'), dict(type='LoadBinaryMask', mode=mode)])
    infos = [data.get_data_info(index) for index in range(len(data))]
    return {Path(info['img_path']).stem: load(info)['gt_seg_map'] for info in infos}


REAL = {
    'glas': ('glas', ('', ''), '_anno', 'nonzero', ['train_1', 'train_33', 'testA_7', 'testB_12']),
    'isic2017': (
        'isic2017-val', ('', ''), '_segmentation', 'threshold', ['ISIC_0001769', 'ISIC_0014633']
    ),
    'kvasir_seg': ('kvasir-seg', ('images', 'masks'), None, 'threshold', None),
}  # fmt: skip


@pytest.mark.parametrize('dataset', REAL)
def test_real_masks_are_those_of_the_originals(dataset, shared_dir, tmp_path, run):
    folder, prefix, suffix, mode, some = REAL[dataset]
    real, src, out = shared_dir / 'data' / folder, tmp_path / folder, tmp_path / 'out'
    if not real.is_dir():
        pytest.skip(f'needs ../shared/data/{folder}')
    some = some or names(SPLITS / 'kvasir-seg' / 'train.txt')[:3]
    for name in some:  # a few of them, by links
        for part in set(prefix):
            for path in [*(real / part).glob(f'{name}.*'), *(real / part).glob(f'{name}_[as]*')]:
                (src / part).mkdir(parents=True, exist_ok=True)
                (src / part / path.name).symlink_to(path)
    assert run(dataset, src, out, '--allow-incomplete')[0] == 0
    (tmp_path / 'some.txt').write_text('\n'.join(some))
    expected = foreground(src, prefix, suffix, tmp_path / 'some.txt', mode)
    made = foreground(out, ('images', 'masks'), None, tmp_path / 'some.txt', 'nonzero')
    assert len(made) == len(some)
    assert made.keys() == expected.keys()
    assert all(np.array_equal(made[key], expected[key]) for key in made)
    assert all(0 < value.mean() < 1 for value in made.values())
    listed = {name for path in out.glob('*.txt') for name in names(path)}
    assert listed == set(some)


def test_the_real_table_of_grades_shares_patients(shared_dir, tmp_path, run):
    table = shared_dir / 'data' / 'glas' / 'Grade.csv'
    if not table.is_file():
        pytest.skip('needs ../shared/data/glas/Grade.csv')
    content, _ = glas(table.read_bytes())
    every = [f'{part}_{i + 1}' for part, size in dict(train=85, testA=60, testB=20).items()
             for i in range(size)]  # fmt: skip
    folder = next(iter(content)).rpartition('/')[0]
    anno = next(data for path, data in content.items() if path.endswith('_anno.bmp'))
    for name in every:
        content[f'{folder}/{name}.bmp'] = encode(IMAGE, 'BMP')
        content[f'{folder}/{name}_anno.bmp'] = anno
    src = make_zip(tmp_path / 'a.zip', content)
    status, out, message = run('glas', src, tmp_path / 'out', '--dry-run')
    assert status == 0
    assert '165 images (85 in train.txt, 80 in test.txt, 60 in testA.txt, 20 in testB.txt)' in out
    assert '11 patients (1, 2, 3, 4, 5, 7, 9, 10, 11, 13, 15) of 15 in train' in message
    assert 'with 77 of 85 training images and 79 of 80 test images' in message
