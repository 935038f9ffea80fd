"""Data sets for the doctor: clean ones, and one with one of each defect."""

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
from helpers import blob as small_blob
from PIL import Image

from condseg_mmseg.doctor import check_dataset

WIDTH, HEIGHT = 64, 48


def scene(seed: int) -> np.ndarray:
    """A picture that resembles no other one, BGR."""
    rng = np.random.default_rng(seed)
    grid = rng.integers(20, 236, (9, 12, 3)).astype(np.uint8)
    return cv2.resize(grid, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)


def blob(value: int = 255) -> np.ndarray:
    """A mask with one object, 12.5 % of the picture: 24 x 16 pixels."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[10:26, 20:44] = value
    return mask


def jpeg(array: np.ndarray, quality: int = 95) -> bytes:
    return cv2.imencode('.jpg', array, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


class Folder:
    """Builds a data set; pictures are numbered, so that no two are alike unless asked."""

    def __init__(self, root: Path) -> None:
        self.root, self.seed = root, 0
        for name in ('images', 'masks'):
            (root / name).mkdir(parents=True)

    def image(self, name: str, array: np.ndarray | None = None) -> np.ndarray:
        self.seed += 1
        array = scene(self.seed) if array is None else array
        cv2.imwrite(str(self.root / 'images' / (name if '.' in name else f'{name}.png')), array)
        return array

    def mask(self, name: str, array: np.ndarray | None = None) -> None:
        array = blob() if array is None else array
        cv2.imwrite(str(self.root / 'masks' / (name if '.' in name else f'{name}.png')), array)

    def pair(self, name: str, image=None, mask=None) -> np.ndarray:
        self.mask(Path(name).stem, mask)
        return self.image(name, image)

    def list(self, split: str, *names: str) -> None:
        (self.root / f'{split}.txt').write_text(''.join(f'{name}\n' for name in names))


def clean(root: Path) -> Folder:
    """Two splits without any fault."""
    folder = Folder(root)
    for name in ('a', 'b', 'c', 'd'):
        folder.pair(name)
    folder.list('train', 'a', 'b')
    folder.list('val', 'c', 'd')
    return folder


def exif_jpeg(path: Path, array: np.ndarray, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(array[..., ::-1] if array.ndim == 3 else array).save(path, exif=exif)


def defective(root: Path) -> None:
    """One of each defect, named after it."""
    make = Folder(root)
    images, masks = root / 'images', root / 'masks'
    train = [make.pair(name) is not None and name for name in ('ok1', 'ok2', 'ok3', 'leak')]
    make.mask('missing_image')
    make.image('missing_mask')
    make.pair('ambiguous')
    make.image('ambiguous.bmp')
    make.pair('repeated')
    make.pair('cut_image')
    (images / 'cut_image.png').write_bytes((images / 'cut_image.png').read_bytes()[:-200])
    make.pair('cut_mask')
    (masks / 'cut_mask.png').write_bytes((masks / 'cut_mask.png').read_bytes()[:-60])
    make.mask('cut_jpeg')
    (images / 'cut_jpeg.jpg').write_bytes(jpeg(scene(906))[:-300])
    make.pair('size', mask=blob()[:, :-1])
    make.image('mask_exif')
    exif_jpeg(masks / 'mask_exif.jpg', blob(), 3)
    make.pair('mask_depth', mask=blob().astype(np.uint16) * 4)
    labels = blob(1)
    labels[:, 32:] *= 3
    make.pair('labels', mask=labels)
    make.pair('empty', mask=blob(0))
    make.pair('full', mask=np.full((HEIGHT, WIDTH), 255, np.uint8))
    make.pair('inverted', mask=255 - blob())
    specks = blob()
    specks[40, 3] = 255
    make.pair('specks', mask=specks)
    make.pair('blank', image=np.full((HEIGHT, WIDTH, 3), 90, np.uint8))
    make.image('exif.png')
    (images / 'exif.png').unlink()
    exif_jpeg(images / 'exif.jpg', scene(900), 3)
    make.mask('exif')
    make.pair('deep', image=scene(901)[..., 0].astype(np.uint16) * 256)
    make.pair('copy1.png', image=scene(902))
    make.pair('copy2.bmp', image=scene(902), mask=np.roll(blob(), 20, 1))
    make.pair('frame1', image=scene(903))
    make.mask('frame2')
    (images / 'frame2.jpg').write_bytes(jpeg(cv2.convertScaleAbs(scene(903), alpha=0.8), 60))
    make.pair('leak1.png', image=scene(904))
    make.pair('leak2.bmp', image=scene(904))
    make.pair('near1', image=scene(905))
    make.pair('near2', image=np.ascontiguousarray(scene(905)[:, ::-1]))
    make.pair('noisy')
    (masks / 'noisy.png').unlink()
    (masks / 'noisy.jpg').write_bytes(jpeg(cv2.GaussianBlur(blob(), (0, 0), 1)))
    for name in ('ok5', 'ok6', 'both', 'orphan_image'):
        make.pair(name)
    (masks / 'orphan_image.png').unlink()
    make.mask('orphan_mask')
    train += [
        'missing_image', 'missing_mask', 'ambiguous', 'repeated', 'repeated.png', 'cut_image',
        'cut_mask', 'cut_jpeg', 'size', 'mask_exif', 'mask_depth', 'labels', 'empty', 'full',
        'inverted', 'specks', 'blank', 'exif', 'deep', 'copy1', 'copy2', 'frame1', 'frame2',
        'leak1', 'near1', 'noisy',
    ]  # fmt: skip
    make.list('train', *train)
    make.list('val', 'ok5', 'leak', 'leak2', 'near2', 'both')
    make.list('test', 'ok6', 'both')
    make.list('test_b')
    make.list('readme', 'This folder holds pictures.')


def write(path: Path, seed: int = 0, mask: np.ndarray | None = None) -> None:
    """Write an image that resembles no other, or a mask."""
    path.parent.mkdir(parents=True, exist_ok=True)
    grid = np.random.default_rng(seed).integers(20, 236, (9, 12, 3)).astype(np.uint8)
    picture = cv2.resize(grid, (53, 37), interpolation=cv2.INTER_CUBIC) if mask is None else mask
    assert cv2.imwrite(str(path), picture)


def data(root: Path, *names: str, first: int = 0, value: int = 255) -> None:
    """Write images/ and masks/."""
    for seed, name in enumerate(names, first):
        write(root / 'images' / f'{name}.png', seed)
        write(root / 'masks' / f'{name}.png', mask=small_blob() // 255 * value)


def lists(root: Path, **names: str) -> None:
    for name, text in names.items():
        (root / f'{name}.txt').write_text(text.replace(' ', '\n'))


def summary(*data, **options) -> tuple[dict, dict, int]:
    """Check; returns the splits by name, the number of findings by kind, and the exit status."""
    record = check_dataset(data, workers=1, **options)
    splits = {split['name']: split for source in record['data_sets'] for split in source['splits']}
    return splits, dict(Counter(f['kind'] for f in record['findings'])), record['exit_status']
