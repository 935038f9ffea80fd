"""The other light: values by hand, and the data set."""

import cv2
import numpy as np
from other_light import relight, relight_all
from PIL import Image


def test_values_by_hand():
    image = np.array([[[255, 255, 255], [0, 0, 0], [128, 64, 200]]], np.uint8)
    # (128 / 255) ** 2.2 * 255 = 55.98, (64 / 255) ** 2.2 * 190 = 9.08, (200 / 255) ** 2.2 * 122
    assert relight(image).tolist() == [[[255, 190, 122], [0, 0, 0], [56, 9, 71]]]


def test_the_data_set_keeps_names_and_masks(tmp_path):
    rng = np.random.default_rng(0)
    for kind, ending in (('images', 'jpg'), ('masks', 'png')):
        (tmp_path / 'from' / kind).mkdir(parents=True)
        for name in ('a', 'b', 'c'):
            picture = rng.integers(0, 256, (12, 17, 3), np.uint8)
            cv2.imwrite(str(tmp_path / 'from' / kind / f'{name}.{ending}'), picture)
    (tmp_path / 'from/val.txt').write_text('a\nc\n')
    to = tmp_path / 'to'
    assert relight_all(tmp_path / 'from', to) == 2
    assert (to / 'all.txt').read_text() == 'a\nc\n'
    assert {path.name for path in to.glob('*/*')} == {'a.png', 'c.png'}
    assert (to / 'masks/c.png').read_bytes() == (tmp_path / 'from/masks/c.png').read_bytes()
    original = np.asarray(Image.open(tmp_path / 'from/images/c.jpg'))
    assert (np.asarray(Image.open(to / 'images/c.png')) == relight(original)).all()
