import csv
import importlib

import cv2
import numpy as np
import pytest
from small_models import CONFIG, build

from condseg_mmseg.cli import main


@pytest.fixture
def images(tmp_path):
    (tmp_path / 'in' / 'a').mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in ('x.jpg', 'a/y.bmp'):
        cv2.imwrite(str(tmp_path / 'in' / name), rng.integers(0, 256, (40, 50, 3), dtype=np.uint8))
    return tmp_path / 'in'


@pytest.fixture
def command(tmp_path):
    build(CONFIG, tmp_path / 'model.pth')
    options = ['--config', CONFIG, '--checkpoint', tmp_path / 'model.pth', '--workers', 0]

    def run(*args):
        return main([str(arg) for arg in ('predict', *args, '--device', 'cpu', *options)])

    return run


def test_masks_and_status(images, command, tmp_path, capsys):
    out = tmp_path / 'out'
    assert command(images, '--out', out) == 0
    printed = capsys.readouterr()
    assert printed.out == f'2 images predicted into {out}/masks\n'
    assert sorted(str(path.relative_to(out / 'masks')) for path in out.rglob('*.png')) == [
        'a/y.png', 'x.png'
    ]  # fmt: skip
    (images / 'z.png').write_text('no image')
    assert command(images, '--out', out) == 1
    printed = capsys.readouterr().out
    assert '0 images predicted' in printed
    assert '2 were there already' in printed
    assert '1 image failed:\n  ' in printed
    assert 'z.png cannot be read' in printed
    with (out / 'predictions.csv').open(newline='') as file:
        assert [row['status'] for row in csv.DictReader(file)] == ['ok', 'ok', 'error']


def test_globs_and_files(images, command, tmp_path):
    out = tmp_path / 'out'
    assert command(images / '**' / '*.bmp', images / 'x.jpg', '--out', out) == 0
    assert sorted(str(path.relative_to(out / 'masks')) for path in out.rglob('*.png')) == [
        'a/y.png', 'x.png'
    ]  # fmt: skip


def test_everything_at_once(images, command, tmp_path):
    pytest.importorskip('captum')
    out = tmp_path / 'out'
    extras = ['--probabilities', '--overlays', '--uncertainty', '--coco', '--sheet', '--tta']
    assert command(images, '--out', out, *extras, '--grad-cam', 'backbone.layer3') == 0
    folders = {str(path.relative_to(out).parts[0]) for path in out.rglob('*.png')}
    assert folders == {
        'masks', 'probabilities', 'overlays', 'uncertainty', 'grad_cam', 'sheet.png'
    }  # fmt: skip
    assert (out / 'coco.json').is_file()


def test_out_within_the_folder_is_no_input(images, command, capsys):
    out = images / 'out'
    assert command(images, '--out', out) == 0
    assert command(images, '--out', out) == 0
    assert '0 images predicted' in capsys.readouterr().out


def test_wrong_use(images, command, tmp_path, capsys):
    assert command(images, '--out', tmp_path / 'out', '--slide', 32, 64) == 2
    assert 'error: --slide needs 0 < stride <= size' in capsys.readouterr().err
    assert command(tmp_path / 'absent.jpg', '--out', tmp_path / 'out') == 2
    assert command(images, '--out', images / 'x.jpg') == 2
    assert not (tmp_path / 'out').exists()


def test_without_a_model_the_shipped_weights_predict(images, tmp_path, monkeypatch, capsys):
    model = build(CONFIG, tmp_path / 'model.pth')
    from mmengine.config import Config

    model.cfg = Config.fromfile(CONFIG)
    asked = []
    api = importlib.import_module('condseg_mmseg.apis.predict')
    monkeypatch.setattr(api, 'pretrained', lambda name: asked.append(name) or model)
    command = ['predict', str(images), '--workers', '0', '--device', 'cpu', '--out']
    assert main([*command, str(tmp_path / 'out')]) == 0
    assert main([*command, str(tmp_path / 'other'), '--model', 'mine']) == 0
    assert asked == ['condseg_lite0_polyp', 'mine']
