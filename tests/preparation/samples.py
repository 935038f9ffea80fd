"""Small data sets as their owners distribute them."""

import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

NAMES = [f'case{i}' for i in range(10)]


def encode(array, kind='PNG', **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, kind, **options)
    return file.getvalue()


def picture(width=13, height=9, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def disk(width=13, height=9, value=255) -> np.ndarray:
    yy, xx = np.mgrid[:height, :width]
    return (((xx - 6) ** 2 + (yy - 4) ** 2 <= 9) * value).astype(np.uint8)


def square(i=0) -> np.ndarray:
    """One of three blocks of 8 x 8 pixels in 24 x 16, which JPEG keeps apart."""
    mask = np.zeros((16, 24), bool)
    mask[8:, 8 * (i % 3) : 8 * (i % 3) + 8] = True
    return mask


def noisy(mask) -> np.ndarray:
    noise = np.random.default_rng(1).integers(0, 9, mask.shape)
    return np.where(mask, 255 - noise, noise).astype(np.uint8)


def files(names=NAMES) -> dict[str, bytes]:
    """A small data set in the owner's layout of Kvasir-SEG: path and content."""
    found = {'top/readme.md': b'no image', '__MACOSX/top/images/._case0.jpg': b'junk'}
    for i, name in enumerate(names):
        found[f'top/images/{name}.jpg'] = encode(picture(24, 16, i), 'JPEG')
        found[f'top/masks/{name}.jpg'] = encode(noisy(square(i)), 'JPEG', quality=90)
    return found


def make_zip(path, content):
    with zipfile.ZipFile(path, 'w') as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def make_tar(path, content, mode='w'):
    with tarfile.open(path, mode) as archive:
        for name, data in content.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def make_folder(path, content):
    for name, data in content.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def tree(root) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob('*') if p.is_file()}


def pixels(path) -> np.ndarray:
    with Image.open(path) as image:
        assert (image.format, image.mode) == ('PNG', 'L')
        return np.array(image)


def names(path) -> list[str]:
    return Path(path).read_text().split()


def record(out) -> dict:
    return json.loads((out / 'dataset.json').read_text())


GRADES = (
    b'name,patient ID, grade (GlaS), grade (Sirinukunwattana et al. 2015)\r'
    b'train_1,4, benign, adenomatous\rtrain_2,5, malignant, poorly differentiated\r'
    b'testA_1,4, benign, healthy\rtestB_10,7, malignant, moderately differentiated\r'
    b'testB_2,8, benign, healthy'
)


def glas(grades=GRADES):
    """A few files of GlaS with their names, and the labels of each."""
    labels = np.zeros((8, 16), np.uint8)
    labels[:, 12:], labels[0, 0] = 1, 32
    found = {'Grade.csv': grades}
    for name in ('train_1', 'train_2', 'testA_1', 'testB_10', 'testB_2'):
        found |= {
            f'{name}.bmp': encode(np.full((8, 16, 3), 120, np.uint8), 'BMP'),
            f'{name}_anno.bmp': encode(labels, 'BMP'),
        }
    folder = 'Warwick QU Dataset (Released 2016_07_08)'
    return {f'{folder}/{name}': data for name, data in found.items()}, labels
