"""Small folders of masks and predictions, and how ``condseg evaluate`` scores or refuses them."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from condseg_mmseg.cli import main

SHAPES = dict(a=(31, 41), b=(40, 30), c=(33, 33), d=(29, 37))


def write(path: Path, image: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(image, np.uint8)).save(path, quality=95)
    return path


def disc(shape: tuple, y: int, x: int, r: float) -> np.ndarray:
    yy, xx = np.mgrid[: shape[0], : shape[1]]
    return (yy - y) ** 2 + (xx - x) ** 2 <= r * r


def score(data: Path, *options: object, pred: str = 'pred', gt: str = 'gt') -> dict:
    out = data / 'out' / 'result.json'
    argv = [data / pred, data / gt, '--json', out, '--force', *options]
    assert main(['evaluate', *map(str, argv)]) == 0
    return json.loads(out.read_text())


def refuse(capsys: pytest.CaptureFixture, data: Path, *options: object, pred: str = 'pred') -> str:
    out = data / 'refused.json'
    argv = [data / pred, data / 'gt', '--json', out, *options]
    try:
        code = main(['evaluate', *map(str, argv)])
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    assert not out.exists()
    return capsys.readouterr().err
