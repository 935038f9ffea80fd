"""The contact sheet: what its tiles show, its Dice, models with and without SID."""

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from small_models import CONFIG, build, make_data, write_plain

from condseg_mmseg.apis._build import build_dataset
from condseg_mmseg.visualization import contact_sheet as sheet

TILE = 40


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp('data'))


@pytest.fixture(scope='module')
def condseg(tmp_path_factory):
    """The small ConDSeg with random weights."""
    return build(CONFIG, tmp_path_factory.mktemp('condseg') / 'model.pth')


@pytest.fixture(scope='module')
def plain(tmp_path_factory):
    """The same encoder with mmseg's FCN head."""
    folder = tmp_path_factory.mktemp('plain')
    return build(write_plain(folder), folder / 'model.pth')


def _dataset(data):
    return build_dataset(Config.fromfile(CONFIG), 'val', data)


def test_tiles_show_image_truth_and_prediction(data, condseg):
    dataset, model = _dataset(data), condseg
    tiles, name, dice = sheet.draw_row(model, dataset[1], 96)  # one pixel of the input per pixel
    assert name == 'val_1'
    assert len(tiles) == 7
    assert {tile.shape for tile in tiles} == {(96, 96, 3)}

    bgr = cv2.imread(str(data / 'images' / 'val_1.png'))
    np.testing.assert_array_equal(tiles[0], cv2.resize(bgr, (96, 96))[..., ::-1])
    truth = cv2.imread(str(data / 'masks' / 'val_1.png'), 0)
    truth = cv2.resize(truth, (96, 96), interpolation=cv2.INTER_LINEAR) > 127
    np.testing.assert_array_equal(tiles[1][..., 0] == 255, truth)

    with torch.no_grad():
        x = model.data_preprocessor(pseudo_collate([dataset[1]]), False)['inputs']
        predicted = (model(x, mode='tensor')[0, 0] > 0).numpy()
    np.testing.assert_array_equal(tiles[2][..., 1] == 255, predicted)
    assert predicted.any()  # else the next line could not fail
    assert dice == pytest.approx(2 * (predicted & truth).sum() / (predicted.sum() + truth.sum()))


def test_contours_lie_on_the_edges():
    image = np.zeros((20, 20, 3), np.uint8)
    truth, predicted = np.zeros((2, 20, 20), bool)
    truth[4:10, 4:10] = True
    predicted[12:18, 12:18] = True
    drawn = sheet.outline(image, 20, (truth, predicted), (sheet.TRUTH, sheet.PREDICTED))
    for pixel, colour in ((drawn[4, 6], sheet.TRUTH), (drawn[17, 14], sheet.PREDICTED)):
        # the line is smoothed: darker, of the same hue
        np.testing.assert_allclose(pixel / pixel.max(), np.array(colour) / max(colour), atol=0.03)
        assert pixel.max() > 0.6 * max(colour)
    assert not drawn[6:8, 6:8].any()  # inside
    assert not drawn[0].any()


def test_sid_maps_are_the_heads_probabilities(data, condseg):
    model = condseg
    batch = pseudo_collate([_dataset(data)[0]])
    maps = sheet.sid_maps(model, batch, (96, 96))
    assert model.neck.sid_in_eval is False
    with torch.no_grad():
        x = model.data_preprocessor(batch, False)['inputs']
        fg, bg, uc = model.neck.sid(model.backbone(x)[-1], uncertainty=True)
        head = model.auxiliary_head
        expected = head.foreground(fg), head.background(bg), head.uncertainty(uc)
    assert expected[0].shape[-2:] == (96, 96)
    for found, logits in zip(maps, expected, strict=True):
        np.testing.assert_allclose(found, logits.sigmoid()[0, 0].numpy(), atol=1e-6)


def test_sid_in_eval_is_set_back_after_an_error(condseg):
    model = condseg

    def fail():
        with sheet.sid_in_eval(model):
            raise RuntimeError(f'inside it is {model.neck.sid_in_eval}')

    with pytest.raises(RuntimeError, match='inside it is True'):
        fail()
    assert model.neck.sid_in_eval is False


def test_heat_is_monotone_in_the_probability():
    ramp = np.linspace(0, 1, 32, dtype=np.float32)[None].repeat(4, 0)
    brightness = sheet.heat(ramp, 32).astype(int).sum(-1)[0]
    assert brightness[-1] > brightness[16] > brightness[0]


def test_ignored_pixels_are_grey():
    mask = np.array([[0, 1, 255]], np.uint8)
    assert sheet.grey(mask, (1,), 255)[0, :, 0].tolist() == [0, 255, 128]


@pytest.mark.parametrize(('kind', 'columns'), [('condseg', 7), ('plain', 4)])
def test_sheet_has_a_row_per_index_and_a_column_per_map(data, kind, columns, request):
    model = request.getfixturevalue(kind)
    drawn = sheet.draw_sheet(model, _dataset(data), [3, 0], TILE)
    height = sheet.HEADER + 2 * (TILE + sheet.GAP)
    assert drawn.shape == (height, sheet.MARGIN + columns * (TILE + sheet.GAP), 3)
    margin = drawn[sheet.HEADER :, : sheet.MARGIN]
    assert (margin < 100).any()  # name and Dice


@pytest.mark.parametrize('indices', [[], [4], [-1]])
def test_bad_index_is_named(data, condseg, indices):
    with pytest.raises(ValueError, match=r'0\.\.3'):
        sheet.draw_sheet(condseg, _dataset(data), indices, TILE)


@pytest.mark.parametrize(('head', 'expected'), [('sid', True), ('fcn', False), ('both', False)])
def test_only_a_sid_head_shows_maps(condseg, plain, monkeypatch, head, expected):
    model = condseg
    heads = dict(sid=model.auxiliary_head, fcn=plain.decode_head)
    heads['both'] = torch.nn.ModuleList([heads['fcn']])
    monkeypatch.setitem(model._modules, 'auxiliary_head', heads[head])
    assert sheet.has_sid(model) is expected
    assert sheet.has_sid(plain) is False
