"""The contact sheet: what its tiles show, its Dice, models with and without SID, bad input."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from helpers import ROOT, load_script
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.logging import HistoryBuffer
from mmengine.optim import OneCycleLR

SCRIPT = ROOT / 'tools' / 'analysis_tools' / 'contact_sheet.py'
CONFIG = ROOT / 'configs' / 'condseg' / 'condseg_r18_1xb8-4e_demo-96x96.py'
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
TILE = 40


@pytest.fixture(scope='module')
def sheet():
    return load_script('tools/analysis_tools/contact_sheet.py')


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    """A handful of images; the fourth of val has other sides than the rest."""
    root = tmp_path_factory.mktemp('data')
    for folder in ('images', 'masks'):
        (root / folder).mkdir()
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


def _checkpoint(sheet, config: Path, out: Path) -> tuple[Config, Path]:
    """Save random weights for a config."""
    loaded = Config.fromfile(config)
    sheet.init_default_scope('mmseg')
    torch.manual_seed(1)
    model = sheet.MODELS.build(loaded.model)
    torch.save(dict(state_dict=model.state_dict(), meta={}), out)
    return loaded, out


@pytest.fixture(scope='module')
def condseg(sheet, tmp_path_factory):
    """The small ConDSeg with random weights: config, checkpoint, model."""
    config, path = _checkpoint(sheet, CONFIG, tmp_path_factory.mktemp('condseg') / 'model.pth')
    return config, path, sheet.build(config, str(path), 'cpu')


@pytest.fixture(scope='module')
def plain(sheet, tmp_path_factory):
    """The same encoder with mmseg's FCN head."""
    folder = tmp_path_factory.mktemp('plain')
    (folder / 'plain.py').write_text(PLAIN)
    config, path = _checkpoint(sheet, folder / 'plain.py', folder / 'model.pth')
    return folder / 'plain.py', path, sheet.build(config, str(path), 'cpu')


def _dataset(sheet, data, split='val'):
    return sheet.build_dataset(Config.fromfile(CONFIG), split, str(data))


def test_split_and_root(sheet, data):
    assert len(_dataset(sheet, data, 'val')) == 4
    assert len(_dataset(sheet, data, 'test')) == 3


def test_tiles_show_image_truth_and_prediction(sheet, data, condseg):
    dataset, model = _dataset(sheet, data), condseg[2]
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


def test_contours_lie_on_the_edges(sheet):
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


def test_sid_maps_are_the_heads_probabilities(sheet, data, condseg):
    model = condseg[2]
    batch = pseudo_collate([_dataset(sheet, data)[0]])
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


def test_sid_in_eval_is_set_back_after_an_error(sheet, condseg):
    model = condseg[2]

    def fail():
        with sheet.sid_in_eval(model):
            raise RuntimeError(f'inside it is {model.neck.sid_in_eval}')

    with pytest.raises(RuntimeError, match='inside it is True'):
        fail()
    assert model.neck.sid_in_eval is False


def test_heat_is_monotone_in_the_probability(sheet):
    ramp = np.linspace(0, 1, 32, dtype=np.float32)[None].repeat(4, 0)
    brightness = sheet.heat(ramp, 32).astype(int).sum(-1)[0]
    assert brightness[-1] > brightness[16] > brightness[0]


def test_ignored_pixels_are_grey(sheet):
    mask = np.array([[0, 1, 255]], np.uint8)
    assert sheet.grey(mask, (1,), 255)[0, :, 0].tolist() == [0, 255, 128]


@pytest.mark.parametrize(('kind', 'columns'), [('condseg', 7), ('plain', 4)])
def test_sheet_has_a_row_per_index_and_a_column_per_map(sheet, data, kind, columns, request):
    model = request.getfixturevalue(kind)[2]
    drawn = sheet.draw_sheet(model, _dataset(sheet, data), [3, 0], TILE)
    height = sheet.HEADER + 2 * (TILE + sheet.GAP)
    assert drawn.shape == (height, sheet.MARGIN + columns * (TILE + sheet.GAP), 3)
    margin = drawn[sheet.HEADER :, : sheet.MARGIN]
    assert (margin < 100).any()  # name and Dice


@pytest.mark.parametrize('indices', [[], [4], [-1]])
def test_bad_index_is_named(sheet, data, condseg, indices):
    with pytest.raises(ValueError, match=r'0\.\.3'):
        sheet.draw_sheet(condseg[2], _dataset(sheet, data), indices, TILE)


def test_checkpoint_of_another_model_is_refused(sheet, condseg, plain):
    with pytest.raises(ValueError, match=r'model\.pth does not fit the config: .*\n.*Missing key'):
        sheet.build(condseg[0], str(plain[1]), 'cpu')


@pytest.mark.parametrize(('head', 'expected'), [('sid', True), ('fcn', False), ('both', False)])
def test_only_a_sid_head_shows_maps(sheet, condseg, plain, monkeypatch, head, expected):
    model = condseg[2]
    heads = dict(sid=model.auxiliary_head, fcn=plain[2].decode_head)
    heads['both'] = torch.nn.ModuleList([heads['fcn']])
    monkeypatch.setitem(model._modules, 'auxiliary_head', heads[head])
    assert sheet.has_sid(model) is expected
    assert sheet.has_sid(plain[2]) is False


class RunsCode:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_checkpoint_that_runs_code_is_refused(sheet, plain, tmp_path, capsys):
    path, trace = tmp_path / 'evil.pth', tmp_path / 'trace'
    torch.save(dict(state_dict=plain[2].state_dict(), meta=RunsCode(trace)), path)
    with pytest.raises(ValueError, match=r'evil\.pth cannot be read safely'):
        sheet.load_weights(str(path))
    assert sheet.main([str(plain[0]), str(path)]) == 2
    assert 'cannot be read safely' in capsys.readouterr().err
    assert not trace.exists()
    torch.load(path, weights_only=False)
    assert trace.exists()  # else the test could not fail


@pytest.mark.parametrize('anneal', ['cos', 'linear'])
def test_a_checkpoint_with_a_one_cycle_schedule_is_read(sheet, tmp_path, anneal):
    weight = torch.nn.Parameter(torch.arange(3.0))
    schedule = OneCycleLR(
        torch.optim.SGD([weight], lr=0.1), eta_max=1.0, total_steps=4, anneal_strategy=anneal
    )
    path = tmp_path / 'model.pth'
    state = dict(state_dict=dict(a=weight.data), param_schedulers=[schedule.state_dict()])
    torch.save(state | dict(message_hub=dict(loss=HistoryBuffer([1.0], [1]))), path)
    assert sheet.load_weights(str(path))['a'].equal(weight.data)


def test_weights_of_mmengine_and_of_a_wrapped_model(sheet, tmp_path):
    path, weights = tmp_path / 'model.pth', dict(a=torch.arange(3.0))
    history = HistoryBuffer([1.0], [1])
    for wrapped in (
        weights,
        dict(state_dict=weights, message_hub=dict(log_scalars=dict(loss=history))),
        dict(state_dict={'module.a': weights['a']}),
    ):
        torch.save(wrapped, path)
        loaded = sheet.load_weights(str(path))
        assert list(loaded) == ['a']
        assert loaded['a'].equal(weights['a'])
    torch.save(dict(state_dict=dict(a=1)), path)
    with pytest.raises(ValueError, match='holds no weights'):
        sheet.load_weights(str(path))


@pytest.mark.slow
def test_command_line_from_another_directory(data, plain, tmp_path):
    out = tmp_path / 'new' / 'sheet.png'
    command = [sys.executable, str(SCRIPT), str(plain[0]), str(plain[1]), '--out', str(out)]
    options = ['--split', 'test', '--num', '2', '--tile', '48', '--cfg-options']
    result = subprocess.run(
        [*command, *options, f'test_dataloader.dataset.data_root={data}'],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip().endswith(str(out))
    assert cv2.imread(str(out)).shape == (30 + 2 * 52, 132 + 4 * 52, 3)


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        (dict(config='no.py'), 'no.py cannot be read as a config: FileNotFoundError'),
        (dict(data_root='/absent'), '/absent/images'),
        (dict(device='cuda:99'), '--device cuda:99 cannot be used'),
        (dict(split='test', cfg_options='test_dataloader=None'), 'has no test_dataloader'),
        (dict(out='{data}/images/val_0.png'), '--out {data}/images/val_0.png would overwrite'),
    ],
)
def test_what_cannot_be_used_gets_a_message(data, plain, tmp_path, wrong, message):
    given = dict(config=plain[0], data_root=data, out=tmp_path / 'a.png') | wrong
    config, options = given.pop('config'), given.items()
    before = (data / 'images' / 'val_0.png').read_bytes()
    command = [sys.executable, str(SCRIPT), str(config), str(plain[1])]
    for key, value in options:
        command += ['--' + key.replace('_', '-'), str(value).format(data=data)]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 2, result.stderr
    assert 'Traceback' not in result.stderr
    assert 'error: ' in result.stderr
    assert message.format(data=data) in result.stderr
    assert not (tmp_path / 'a.png').exists()
    assert (data / 'images' / 'val_0.png').read_bytes() == before
