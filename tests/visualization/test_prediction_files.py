import json

import numpy as np
import pytest
from PIL import Image

from condseg_mmseg.visualization.contact_sheet import PREDICTED
from condseg_mmseg.visualization.prediction_files import (
    describe,
    draw_overlay,
    draw_prediction_sheet,
    objects,
    read_labels,
    read_map,
    write_map,
    write_mask,
    write_png,
)


def square(height: int = 23, width: int = 31) -> np.ndarray:
    labels = np.zeros((height, width), np.uint8)
    labels[5:11, 7:19] = 1
    return labels


def test_binary_masks_hold_0_and_255(tmp_path):
    write_mask(tmp_path / 'a' / 'x.png', square(), [[0, 0, 0], [0, 255, 0]])
    with Image.open(tmp_path / 'a' / 'x.png') as image:
        assert image.mode == 'L'
        np.testing.assert_array_equal(np.array(image), 255 * square())
    np.testing.assert_array_equal(read_labels(tmp_path / 'a' / 'x.png', binary=True), square())


def test_several_classes_have_a_palette(tmp_path):
    labels = square() * 2
    write_mask(tmp_path / 'x.png', labels, [[0, 0, 0], [1, 2, 3], [200, 100, 50]])
    with Image.open(tmp_path / 'x.png') as image:
        assert image.mode == 'P'
        assert image.convert('RGB').getpixel((8, 6)) == (200, 100, 50)
    np.testing.assert_array_equal(read_labels(tmp_path / 'x.png', binary=False), labels)


def test_maps_have_16_bits(tmp_path):
    values = np.linspace(0, 1, 23 * 31, dtype=np.float32).reshape(23, 31)
    write_map(tmp_path / 'x.png', values)
    with Image.open(tmp_path / 'x.png') as image:
        assert image.mode.startswith('I;16')
        assert np.array(image).max() == 65535
    np.testing.assert_allclose(read_map(tmp_path / 'x.png'), values, atol=0.5 / 65535 + 1e-7)


def test_objects_are_connected_over_corners():
    labels = np.zeros((5, 6), np.uint8)
    labels[0, 0] = labels[1, 1] = labels[4, 5] = 1
    labels[1, 2] = 2
    found = objects(labels, (1, 2))
    assert [(label, box) for label, _, box in found] == [
        (1, (0, 0, 2, 2)), (1, (5, 4, 1, 1)), (2, (2, 1, 1, 1))
    ]  # fmt: skip
    np.testing.assert_array_equal(found[0][1], np.eye(2, dtype=bool))


def test_describe():
    probability = np.where(square() == 1, np.float32(0.75), np.float32(0.1))
    row = describe(square(), probability, (1,))
    assert json.loads(row['boxes']) == [[1, 7, 5, 12, 6]]
    assert (row['area_pixels'], row['objects'], row['width'], row['height']) == (72, 1, 31, 23)
    assert float(row['area_share']) == pytest.approx(72 / 713, abs=1e-6)
    assert float(row['mean_confidence']) == 0.75
    empty = describe(square() * 0, probability, (1,))
    assert (empty['objects'], empty['boxes'], empty['mean_confidence']) == (0, '[]', '')


def test_overlay_draws_the_edge_only():
    image = np.full((23, 31, 3), 9, np.uint8)
    drawn = draw_overlay(image, square(), (1,), [[0, 0, 0], [0, 255, 0]])
    assert np.abs(drawn[5, 12].astype(int) - PREDICTED).max() < 50
    assert tuple(drawn[8, 12]) == (9, 9, 9)
    assert tuple(drawn[0, 0]) == (9, 9, 9)
    several = draw_overlay(image, square(), (1, 2), [[0, 0, 0], [1, 2, 200], [5, 5, 5]])
    assert several[5, 12, 2] > 150 > several[5, 12, 0]


def test_sheet(tmp_path):
    write_png(tmp_path / 'image.png', np.full((23, 31, 3), (10, 200, 30), np.uint8))
    write_mask(tmp_path / 'mask.png', square(), [[0, 0, 0], [0, 255, 0]])
    write_map(tmp_path / 'map.png', square().astype(np.float32))
    row = dict(
        name='a/x', image=tmp_path / 'image.png', mask=tmp_path / 'mask.png', area_share='0.1',
        maps={'P(foreground)': tmp_path / 'map.png'},
    )  # fmt: skip
    sheet = draw_prediction_sheet([row, row], (1,), [[0, 0, 0], [0, 255, 0]], tile=62)
    assert sheet.shape == (30 + 2 * 50, 132 + 4 * 66, 3)
    x = 132 + 26
    assert tuple(sheet[34 + 16, x]) == (10, 200, 30)
    assert tuple(sheet[34 + 16, x + 66]) == (255, 255, 255)
    assert tuple(sheet[34 + 2, x + 66]) == (0, 0, 0)
    assert (
        sheet[34 + 16, x + 3 * 66].astype(int).sum() > sheet[34 + 2, x + 3 * 66].astype(int).sum()
    )
    write_png(tmp_path / 'mask.png', square())
    several = draw_prediction_sheet([row], (0, 1), [[7, 8, 9], [1, 2, 200], [0, 0, 0]], tile=62)
    assert tuple(several[34 + 16, x + 66]) == (1, 2, 200)
    assert tuple(several[34 + 2, x + 66]) == (7, 8, 9)
