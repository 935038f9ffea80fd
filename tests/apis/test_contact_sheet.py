"""Drawing a contact sheet from config and checkpoint: what is drawn, and what is refused."""

import subprocess
import sys

import cv2
import pytest
from helpers import ROOT
from small_models import CONFIG, build, make_data, write_plain

from condseg_mmseg.apis._build import build_dataset
from condseg_mmseg.apis.contact_sheet import contact_sheet
from condseg_mmseg.configs import read_config
from condseg_mmseg.utils.errors import UserError

LOADER = 'test_dataloader.dataset.data_root'


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """Config and checkpoint of a small FCN, and a data set."""
    folder = tmp_path_factory.mktemp('plain')
    config, checkpoint = write_plain(folder), folder / 'model.pth'
    build(config, checkpoint)
    return config, checkpoint, make_data(folder / 'data')


def test_split_and_root(files):
    config = read_config(CONFIG)
    assert [len(build_dataset(config, split, files[2])) for split in ('val', 'test')] == [4, 3]


def test_the_default_is_ten_images_beside_the_checkpoint(files):
    config, checkpoint, data = files
    out = contact_sheet(config, checkpoint, data_root=data, tile=48)
    assert out == checkpoint.parent / 'contact_sheet_val.png'
    assert cv2.imread(str(out)).shape[1] == 132 + 4 * 52
    with pytest.raises(UserError, match='is there already: add --force'):
        contact_sheet(config, checkpoint, data_root=data)
    two = contact_sheet(config, checkpoint, data_root=data, tile=48, indices=[2, 0], force=True)
    assert cv2.imread(str(two)).shape[0] == 30 + 2 * 52


def test_a_picture_that_opencv_does_not_write_is_an_error(files, tmp_path, monkeypatch):
    config, checkpoint, data = files
    monkeypatch.setattr(cv2, 'imwrite', lambda *_: False)
    with pytest.raises(UserError, match=r'a\.png: OpenCV could not write the picture'):
        contact_sheet(config, checkpoint, tmp_path / 'a.png', data_root=data, tile=48, num=1)
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_of_another_model_is_refused(files, tmp_path):
    message = r'model\.pth does not fit the config: .*\n.*Missing key'
    with pytest.raises(UserError, match=message):
        contact_sheet(CONFIG, files[1], tmp_path / 'a.png', data_root=files[2])


@pytest.mark.slow
def test_command_line_from_another_directory(files, tmp_path):
    out = tmp_path / 'new' / 'sheet.png'
    script = ROOT / 'tools' / 'analysis_tools' / 'contact_sheet.py'
    options = ['--out', out, '--split', 'test', '--num', '2', '--tile', '48', '--cfg-options']
    result = subprocess.run(
        [sys.executable, script, *files[:2], *options, f'{LOADER}={files[2]}'],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip().endswith(str(out))
    assert cv2.imread(str(out)).shape == (30 + 2 * 52, 132 + 4 * 52, 3)


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        (dict(config='no.py'), 'no.py is neither a file nor a shipped config'),
        (dict(checkpoint='no.pth'), 'there is no checkpoint no.pth in '),
        (dict(data_root='/absent'), '/absent/images'),
        (dict(device='cuda:99'), '--device cuda:99 cannot be used'),
        (dict(split='test', cfg_options=dict(test_dataloader=None)), 'has no test_dataloader'),
        (dict(out='{data}/images/val_0.png'), '--out .*images/val_0.png would overwrite the input'),
        (dict(out='sheet.txt'), 'sheet.txt: end it in .png'),
        (dict(num=0), '--num must be >= 1, got 0'),
        (dict(indices=[4]), r'0\.\.3, got \[4\]'),
    ],
)
def test_what_cannot_be_used_gets_a_message(files, tmp_path, monkeypatch, wrong, message):
    monkeypatch.chdir(tmp_path)
    config, checkpoint, data = files
    given = dict(config=config, checkpoint=checkpoint, data_root=data, out=tmp_path / 'a.png')
    given |= wrong
    given['out'] = str(given['out']).format(data=data)
    given['force'] = True  # not over an input, all the same
    before = (data / 'images' / 'val_0.png').read_bytes()
    with pytest.raises(UserError, match=message):
        contact_sheet(**given)
    assert not list(tmp_path.iterdir())
    assert (data / 'images' / 'val_0.png').read_bytes() == before
