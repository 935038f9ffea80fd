"""Packed weights: what is written, how they are found and loaded, and what is refused."""

import json
import shutil
import sys

import numpy as np
import pack_weights
import pytest
import torch
from helpers import ROOT
from mmengine.config import Config
from mmseg.apis import inference_model
from small_models import CONFIG, build, make_data

from condseg_mmseg.apis import pretrained
from condseg_mmseg.engine.checkpoint_loader import read_weights
from condseg_mmseg.evaluation.score_file import read_scores
from condseg_mmseg.utils.errors import UserError
from condseg_mmseg.utils.files import sha256

PACKAGE = 'condseg_mmseg_weights'
META = {'epoch': 2, 'iter': 20, 'dataset_meta': {'classes': ['background', 'polyp']}}


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """A finished run of random weights, whose average is the double of them."""
    folder = tmp_path_factory.mktemp('run')
    model = build(CONFIG, folder / 'x.pth')
    state = model.state_dict()
    content = {
        'meta': META,
        'state_dict': {key: value * 2 for key, value in state.items()},
        'ema_state_dict': {f'module.{key}': value for key, value in state.items()},
    }
    (folder / 'train').mkdir()
    torch.save(content, folder / 'train' / 'epoch_2.pth')
    data = make_data(folder / 'data')
    config = Config.fromfile(CONFIG)
    config.test_dataloader.dataset.update(data_root=f'{data}/', ann_file='test.txt')
    config.dump(folder / 'config.py')
    record = {'config': 'demo', 'parameters_m': 1.5, 'environment': {'commit': 'abc' * 9}}
    (folder / 'run.json').write_text(json.dumps(record))
    return folder, model


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An empty distribution, which imports."""
    folder = tmp_path / 'weights' / PACKAGE
    folder.mkdir(parents=True)
    shutil.copy(ROOT / 'weights' / PACKAGE / '__init__.py', folder)
    shutil.copy(ROOT / 'weights' / 'pyproject.toml', folder.parent)
    monkeypatch.syspath_prepend(str(folder.parent))
    monkeypatch.delitem(sys.modules, PACKAGE, raising=False)
    yield folder
    sys.modules.pop(PACKAGE, None)


def test_what_was_packed_predicts_as_before(run, package):
    source, model = run
    record = pack_weights.pack(source, 'small', package, plain=True)
    assert (record['weights'], record['epochs']) == ('last checkpoint, not averaged', 2)
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    loaded = pretrained('small')
    assert not loaded.training
    assert loaded.dataset_meta == META['dataset_meta']
    model.cfg = Config.fromfile(package / 'small.py')
    found, expected = (inference_model(net, image).seg_logits.data for net in (loaded, model))
    assert found.shape[-2:] == (60, 80)
    torch.testing.assert_close(found, expected)
    with pytest.raises(UserError, match=r"no pretrained network 'other'; there is small"):
        pretrained('other')
    with pytest.raises(UserError, match=r'small\.safetensors .*--force'):
        pack_weights.pack(source, 'small', package)


def test_the_average_is_packed_by_default(run, package):
    source, model = run
    assert pack_weights.pack(source, 'small', package)['weights'] == 'last checkpoint, averaged'
    state = read_weights(package / 'small.safetensors')
    assert all(torch.equal(state[key], value * 2) for key, value in model.state_dict().items())


def test_damaged_weights_are_refused(run, package):
    pack_weights.pack(run[0], 'small', package)
    file = package / 'small.safetensors'
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(UserError, match=r'small\.safetensors is damaged: its SHA-256 is'):
        pretrained('small')


def test_without_the_distribution_the_command_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, PACKAGE, None)
    with pytest.raises(UserError, match=r'pip install \./weights'):
        pretrained()


@pytest.mark.slow
def test_scores_and_model_card(run, package, tmp_path, monkeypatch):
    monkeypatch.setattr(pack_weights, 'SETS', {'val': ('three images', {})})
    assert pack_weights.main([str(run[0]), 'small', '--to', str(tmp_path), '--note', 'Noise.']) == 0
    record = json.loads((package / 'small.json').read_text())
    assert record['scores']['val']['images'] == 3
    card = (tmp_path / 'weights' / 'README.md').read_text()
    dice = record['scores']['val']['mDice']
    assert f'| three images | 3 | {dice:.1f} |' in card
    assert record['sha256'] in card
    lines = (tmp_path / 'docs/results/weights/small_val.csv').read_text().splitlines()
    assert len(lines) == 4


def test_the_shipped_weights_are_what_their_card_says():
    folder = ROOT / 'weights' / PACKAGE
    for file in folder.glob('*.json'):
        record = json.loads(file.read_text())
        assert sha256(file.with_suffix('.safetensors')) == record['sha256']
        version = pack_weights.version_of(ROOT / 'weights')
        assert (ROOT / 'weights' / 'README.md').read_text() == pack_weights.card(record, version)
        for key, scores in record['scores'].items():
            path = ROOT / 'docs' / 'results' / 'weights' / f'{file.stem}_{key}.csv'
            dice = read_scores(path).scores['dice']
            assert len(dice) == scores['images']
            assert dice.mean() == pytest.approx(scores['mDice'], abs=0.006)
