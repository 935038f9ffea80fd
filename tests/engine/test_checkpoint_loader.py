"""Checkpoints are read without running them, and only if they are whole."""

import functools
import http.server
import threading

import pytest
import torch
from attacks.checkpoints import (
    NOT_CHECKPOINTS,
    Attack,
    config_that_runs,
    flipped,
    holes,
    sound,
    truncated,
    without_numbers,
)
from helpers import figure
from mmengine.hooks import Hook
from mmengine.model import BaseModule
from mmengine.runner.checkpoint import CheckpointLoader, load_checkpoint
from mmseg.apis import init_model
from safetensors.torch import save_file
from torch import nn

from condseg_mmseg.engine import read_checkpoint, read_weights
from condseg_mmseg.engine.checkpoint_loader import ESCAPE
from condseg_mmseg.engine.damage import damage_of
from condseg_mmseg.utils.errors import UserError
from condseg_mmseg.utils.files import sha256


@pytest.fixture
def marker(tmp_path):
    return tmp_path / 'attacked'


@pytest.fixture
def evil(tmp_path, marker):
    path = tmp_path / 'evil.pth'
    weights = nn.Linear(2, 1).state_dict()
    torch.save(dict(state_dict=weights, meta=dict(epoch=1, iter=1), x=Attack(marker)), path)
    return path


@pytest.fixture
def served(tmp_path, monkeypatch):
    """The address of a server on this machine that serves ``tmp_path``."""
    monkeypatch.setenv('no_proxy', '*')
    monkeypatch.setattr(torch.hub, '_hub_dir', str(tmp_path / 'cache'))
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, 'log_message', lambda *args: None)
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{server.server_address[1]}'
        server.shutdown()


MODEL = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(type='SegDataPreProcessor'),
    backbone=dict(type='ResNetV1c', depth=18, stem_channels=4, base_channels=4),
    decode_head=dict(type='FCNHead', in_channels=32, channels=4, num_classes=2),
    test_cfg=dict(mode='whole'),
)


def _read(path):
    read_checkpoint(path)


def _load(path):
    load_checkpoint(nn.Linear(2, 1), str(path))


def _pretrained(path):
    class Net(BaseModule):
        def __init__(self):
            super().__init__(dict(type='Pretrained', checkpoint=str(path)))
            self.fc = nn.Linear(2, 1)

    Net().init_weights()


def _init_model(path):
    from mmengine.config import Config

    init_model(Config(dict(model=MODEL, default_scope='mmseg')), str(path), 'cpu')


@pytest.mark.parametrize('load', [_read, _load, _pretrained, _init_model])
def test_a_malicious_file_is_refused_and_not_run(evil, marker, load):
    with pytest.raises(UserError, match=rf'evil\.pth cannot be read .*{ESCAPE}=1'):
        load(evil)
    assert not marker.exists()


@pytest.mark.parametrize('load', [_load, _init_model])
def test_a_malicious_download_is_refused_and_not_run(evil, marker, served, load):
    with pytest.raises(UserError, match=r'evil\.pth cannot be read'):
        load(f'{served}/evil.pth')
    assert not marker.exists()


def test_no_scheme_of_mmengine_is_left_to_its_own_loader():
    modules = {loader.__module__ for loader in CheckpointLoader._schemes.values()}
    assert modules == {'condseg_mmseg.engine.checkpoint_loader'}


def test_names_are_looked_up_as_mmengine_does(tmp_path, monkeypatch, served):
    monkeypatch.setenv('MMENGINE_HOME', str(tmp_path / 'home'))
    (tmp_path / 'home').mkdir()
    torch.save(nn.Linear(2, 1).state_dict(), tmp_path / 'home' / 'local.pth')
    torch.save(nn.Linear(2, 1).state_dict(), tmp_path / 'far.pth')
    table = dict(near='local.pth', far=f'{served}/far.pth')
    monkeypatch.setattr('mmengine.runner.checkpoint.get_external_models', lambda: table)
    for name in table:
        content = CheckpointLoader.load_checkpoint(f'open-mmlab://{name}', 'cpu')
        assert content['weight'].shape == (1, 2)
    with pytest.raises(UserError, match='open-mmlab://other: mmengine knows no model'):
        CheckpointLoader.load_checkpoint('open-mmlab://other')


def test_torchs_own_escape_works(evil, marker, monkeypatch):
    monkeypatch.setenv(ESCAPE, '1')
    with pytest.warns(UserWarning, match=ESCAPE):
        read_checkpoint(evil)
    assert marker.is_dir()


def test_the_config_of_a_checkpoint_is_not_run_by_resume(tmp_path, marker):
    """mmengine reads ``meta['config']`` with ``Config.fromstring``, which runs it."""
    text = config_that_runs(marker)
    torch.save(dict(state_dict={}, meta=dict(config=text, epoch=3)), tmp_path / 'a.pth')
    assert read_checkpoint(tmp_path / 'a.pth')['meta'] == dict(epoch=3)
    assert not marker.exists()


def test_the_config_in_a_best_checkpoint_is_not_run(tmp_path, marker):
    """Its rule decides which of two is the best."""
    from condseg_mmseg.engine.best_checkpoint import best_checkpoint

    for epoch, score in ((1, 0.3), (2, 0.2)):
        text = "default_hooks = dict(checkpoint=dict(interval=1, rule='less'))\n"
        text = config_that_runs(marker, text)
        name = f'best_loss_epoch_{epoch}.pth'
        info = dict(best_score=score, best_ckpt=name)
        torch.save(dict(meta=dict(cfg=text), message_hub=dict(runtime_info=info)), tmp_path / name)
    assert best_checkpoint(tmp_path).name == 'best_loss_epoch_2.pth'
    assert not marker.exists()


@pytest.fixture
def whole(tmp_path):
    torch.save(sound(), tmp_path / 'whole.pth')
    return tmp_path / 'whole.pth'


def _damaged(path, content):
    path.write_bytes(content)
    return path


def test_every_changed_byte_of_a_tensor_is_found(whole, tmp_path):
    part = read_checkpoint(whole)['state_dict']['weight'].numpy().tobytes()
    cases = list(flipped(whole.read_bytes(), 60, part))
    for changed in cases:
        with pytest.raises(UserError, match=r'bad\.pth cannot be read .*checksum of'):
            read_checkpoint(_damaged(tmp_path / 'bad.pth', changed))
    figure('changed bits of a weight', f'{len(cases)} of {len(cases)} found')


def test_a_changed_byte_anywhere_is_found_or_harmless(whole, tmp_path):
    expected, refused, count = read_checkpoint(whole)['state_dict'], 0, 200
    for changed in flipped(whole.read_bytes(), count, seed=1):
        try:
            read = read_checkpoint(_damaged(tmp_path / 'bad.pth', changed))['state_dict']
        except UserError as error:
            assert '\n' not in str(error)  # noqa: PT017
            refused += 1
        else:
            assert all(torch.equal(read[name], expected[name]) for name in expected)
    assert refused > 150  # the rest are fill bytes and dates
    harmless = f'{count - refused} change no weight'
    figure('changed bits anywhere in a checkpoint', f'{refused} of {count} found, {harmless}')


def test_truncated_files_and_holes_of_zeros_are_found(whole, tmp_path):
    content = whole.read_bytes()
    cases = [*truncated(content, 50), *holes(content, range(2000, 9000, 500)), *NOT_CHECKPOINTS]
    for case in cases:
        path = _damaged(tmp_path / 'bad.pth', case)
        assert damage_of(path)
        with pytest.raises(UserError, match=r'bad\.pth cannot be read'):
            read_checkpoint(path)
    figure('checkpoints cut off, with holes, or none', f'{len(cases)} of {len(cases)} refused')


def test_a_whole_file_is_read_also_one_of_an_old_torch(whole, tmp_path):
    assert damage_of(whole) == ''
    assert read_checkpoint(whole)['meta'] == sound()['meta']
    state = nn.Linear(2, 1).state_dict()
    torch.save(state, tmp_path / 'old.pth', _use_new_zipfile_serialization=False)
    assert read_checkpoint(tmp_path / 'old.pth')['weight'].equal(state['weight'])
    with pytest.raises(FileNotFoundError, match=r'there is no checkpoint .*none\.pth$'):
        read_checkpoint(tmp_path / 'none.pth')


def test_weights_that_are_no_numbers_are_refused(tmp_path):
    weights = dict(a=torch.zeros(3), b=torch.zeros(2), c=torch.tensor([1]))
    torch.save(dict(state_dict=without_numbers(weights, 'b')), tmp_path / 'a.pth')
    with pytest.raises(UserError, match=r'a\.pth: not a number \(NaN\) in b; its training'):
        read_checkpoint(tmp_path / 'a.pth')
    weights['b'] = torch.tensor([float('inf'), -float('inf')])  # a mask of attention, say
    torch.save(dict(state_dict=weights), tmp_path / 'a.pth')
    assert read_checkpoint(tmp_path / 'a.pth')['state_dict']['b'].isinf().all()


def test_a_state_dict_that_is_none_is_no_traceback(tmp_path):
    torch.save(dict(state_dict=[1, 2]), tmp_path / 'a.pth')
    assert read_checkpoint(tmp_path / 'a.pth') == dict(state_dict=[1, 2])
    with pytest.raises(UserError, match=r'a\.pth holds no state dict'):
        read_weights(tmp_path / 'a.pth')


def test_safetensors_wherever_a_checkpoint_is_named(tmp_path):
    source = nn.Linear(2, 1)
    path = tmp_path / 'a.safetensors'
    save_file(source.state_dict(), path)
    target = nn.Linear(2, 1)
    load_checkpoint(target, str(path))
    assert torch.equal(target.weight, source.weight)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match=r'a\.safetensors cannot be read as safetensors'):
        read_checkpoint(path)


def test_a_download_is_checked_against_the_hash_in_its_name(whole, tmp_path, served, caplog):
    digest = sha256(whole)
    for name in (f'net-{digest[:8]}.pth', 'net-01234567.pth', 'net.pth'):
        (tmp_path / name).write_bytes(whole.read_bytes())
    good = CheckpointLoader.load_checkpoint(f'{served}/net-{digest[:8]}.pth', 'cpu')
    assert good['meta'] == sound()['meta']
    with pytest.raises(UserError, match=rf'net-01234567\.pth, .* SHA-256 {digest}, which does not'):
        CheckpointLoader.load_checkpoint(f'{served}/net-01234567.pth', 'cpu')
    CheckpointLoader.load_checkpoint(f'{served}/net.pth', 'cpu')
    with pytest.raises(UserError, match=r'none\.pth cannot be loaded: HTTPError'):
        CheckpointLoader.load_checkpoint(f'{served}/none.pth', 'cpu')


def test_hooks_see_a_checkpoint_of_safetensors_as_any_other(tmp_path):
    save_file(nn.Linear(2, 1).state_dict(), tmp_path / 'a.safetensors')
    content = read_checkpoint(tmp_path / 'a.safetensors')
    assert set(content) == {'state_dict', 'meta'}
    assert callable(Hook().after_load_checkpoint)
