"""Small data sets on disk for the tests of BinaryMedicalDataset."""

from pathlib import Path

from PIL import Image

from condseg_mmseg.datasets import BinaryMedicalDataset

SIZE = (13, 11)  # width, height


def save(path: Path, size: tuple = SIZE, mode: str = 'RGB', **options) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, (200, 100, 50) if mode == 'RGB' else 200).save(path, **options)


def kvasir_layout(tmp_path: Path) -> Path:
    """Three pairs in the Kvasir layout: a and c for training, b for validation."""
    for name in 'abc':
        save(tmp_path / 'images' / f'{name}.jpg')
        save(tmp_path / 'masks' / f'{name}.jpg', mode='L')
    (tmp_path / 'train.txt').write_text('a\nc\n')
    (tmp_path / 'val.txt').write_text('b')
    return tmp_path


def build(root: Path, ann_file: str = 'train.txt', **kwargs) -> BinaryMedicalDataset:
    return BinaryMedicalDataset(data_root=str(root), ann_file=ann_file, **kwargs)


def stems(dataset: BinaryMedicalDataset) -> list[str]:
    return [Path(dataset.get_data_info(i)['img_path']).stem for i in range(len(dataset))]
