"""Small data sets for the tests of prepare.py, and the fixtures that run it."""

import io
import json
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT, load_script
from PIL import Image

SCRIPT = ROOT / 'tools' / 'dataset_converters' / 'prepare.py'
sys.path.insert(0, str(SCRIPT.parent))
prepare = load_script('tools/dataset_converters/prepare.py')
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


@pytest.fixture
def run(capsys):
    """Run the tool; returns its exit status, what it printed, and its messages."""

    def call(*args):
        capsys.readouterr()
        status = prepare.main([str(arg) for arg in args])
        out, err = capsys.readouterr()
        return status, out, err

    return call


@pytest.fixture
def src(tmp_path):
    return make_zip(tmp_path / 'mine.zip', files())


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
