"""Small models with random weights, their checkpoints, and a handful of images for them."""

from pathlib import Path

import cv2
import numpy as np
import torch
from helpers import ROOT
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

import condseg_mmseg  # noqa: F401

CONFIG = ROOT / 'configs' / 'condseg' / 'condseg_r18_1xb8-4e_demo-96x96.py'
PICTURES = ((61, 83), (97, 53), (131, 131))
PLAIN = f"""
_base_ = {str(CONFIG)!r}
model = dict(
    neck=None,
    auxiliary_head=None,
    decode_head=dict(
        _delete_=True, type='FCNHead', in_channels=128, in_index=3, channels=8, num_convs=1,
        num_classes=2, out_channels=1, threshold=0.5,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=True),
    ),
)
"""


def write_plain(folder: Path) -> Path:
    """Write the config of the same encoder with mmseg's FCN head."""
    (folder / 'plain.py').write_text(PLAIN)
    return folder / 'plain.py'


def build(config: Path, checkpoint: Path) -> torch.nn.Module:
    """Build the model of a config, write its random weights, and set it to eval."""
    init_default_scope('mmseg')
    torch.manual_seed(3)  # predicts something
    model = MODELS.build(Config.fromfile(config).model)
    torch.save(dict(state_dict=model.state_dict(), meta={}), checkpoint)
    model.eval()
    return model


def make_data(root: Path) -> Path:
    """Write a handful of images; the fourth of val has other sides than the rest."""
    for folder in ('images', 'masks'):
        (root / folder).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for split, count in (('train', 1), ('val', 4), ('test', 3)):
        names = [f'{split}_{i}' for i in range(count)]
        (root / f'{split}.txt').write_text('\n'.join(names))
        for i, name in enumerate(names):
            shape = (60, 80) if i == 3 else (64, 64)
            mask = np.zeros(shape, np.uint8)
            cv2.circle(mask, (30, 25), 8 + 4 * i, 255, -1)
            image = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
            cv2.imwrite(str(root / 'images' / f'{name}.png'), image)
            cv2.imwrite(str(root / 'masks' / f'{name}.png'), mask)
    return root


def picture(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Smooth colours, (H, W, 3)."""
    small = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    return cv2.resize(small, shape[::-1], interpolation=cv2.INTER_CUBIC)


def write_pictures(folder: Path, shapes=PICTURES) -> Path:
    """Write pictures p0.png, sub/p1.png, p2.png and so on, each of another size."""
    (folder / 'sub').mkdir(parents=True)
    for i, shape in enumerate(shapes):
        cv2.imwrite(str(folder / ('sub' if i % 2 else '.') / f'p{i}.png'), picture(shape, i))
    return folder
