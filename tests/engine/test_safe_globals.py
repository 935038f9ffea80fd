"""Safe loading of what mmengine writes."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from attacks.checkpoints import Attack, Steals
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.optim.scheduler.param_scheduler import OneCycleParamScheduler
from mmengine.runner import Runner
from mmengine.runner.checkpoint import load_checkpoint
from torch import nn

from condseg_mmseg.engine.safe_globals import (
    allow_mmengine_checkpoints,
    checkpoint_method,
    mmengine_safe_globals,
)


@pytest.fixture
def hub():
    """A message hub that holds what training leaves in one."""
    hub = MessageHub(
        'safe_globals_test',
        log_scalars={'train/loss': HistoryBuffer([0.5, 0.25], [1, 1])},
        runtime_info={
            'epoch': 3,
            'best_score': np.float64(0.75),
            'count': np.int64(7),
            'ok': np.bool_(True),
            'half': np.float32(0.5),
            'per_class': np.array([0.5, 1.0]),
            'ids': np.arange(3, dtype=np.int32),
        },
        resumed_keys=dict.fromkeys(
            ('train/loss epoch best_score count ok half per_class ids').split(), True
        ),
    )
    hub.update_scalar('train/loss', 0.125)
    return hub


@pytest.fixture
def checkpoint(hub, tmp_path):
    path = tmp_path / 'epoch_3.pth'
    state = dict(
        meta=dict(epoch=3, dataset_meta=dict(classes=('background', 'polyp'))),
        state_dict=nn.Linear(2, 3).state_dict(),
        message_hub=hub.state_dict(),
    )
    torch.save(state, path)
    return path


def _assert_holds_the_hub(hub_state):
    log, counts = hub_state['log_scalars']['train/loss'].data
    np.testing.assert_array_equal(log, [0.5, 0.25, 0.125])
    np.testing.assert_array_equal(counts, [1, 1, 1])
    assert hub_state['log_scalars']['train/loss'].statistics('mean') == pytest.approx(0.875 / 3)
    info = hub_state['runtime_info']
    assert info['epoch'] == 3
    assert info['best_score'] == 0.75
    assert info['count'] == 7
    assert info['ok']
    assert info['half'] == np.float32(0.5)
    np.testing.assert_array_equal(info['per_class'], [0.5, 1.0])
    np.testing.assert_array_equal(info['ids'], [0, 1, 2])
    assert info['ids'].dtype == np.int32


def test_checkpoint_loads_safely(checkpoint):
    loaded = torch.load(checkpoint, weights_only=True)
    _assert_holds_the_hub(loaded['message_hub'])
    assert loaded['meta']['dataset_meta']['classes'] == ('background', 'polyp')
    assert loaded['state_dict']['weight'].shape == (3, 2)


def test_state_goes_back_into_a_hub(checkpoint):
    hub = MessageHub('safe_globals_resumed')
    hub.load_state_dict(torch.load(checkpoint, weights_only=True)['message_hub'])
    assert hub.get_scalar('train/loss').current() == 0.125
    assert hub.get_info('best_score') == 0.75


def test_still_safe_after_mmengines_own_loader(checkpoint):
    """The forks' loader takes the bare objects it allowed off the list again."""
    load_checkpoint(nn.Linear(2, 3), str(checkpoint))
    _assert_holds_the_hub(torch.load(checkpoint, weights_only=True)['message_hub'])


def test_torch_refuses_the_checkpoint_without_us(checkpoint):
    """Otherwise the tests above would prove nothing."""
    code = f'import torch, mmengine.logging; torch.load({str(checkpoint)!r}, weights_only=True)'
    result = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert 'Unsupported global' in result.stderr


@pytest.mark.parametrize('module', ['numpy.core.multiarray', 'numpy._core.multiarray'])
def test_files_of_either_numpy(checkpoint, tmp_path, module):
    """Numpy 2 writes the second name, numpy 1 the first."""
    names = dict((name, value) for value, name in mmengine_safe_globals())
    rebuild, args, state = np.array([1.5, 2.5]).__reduce__()
    assert names[f'{module}._reconstruct'] is rebuild

    class Array:
        def __reduce__(self):
            return rebuild, args, state

    path = tmp_path / 'array.pth'
    torch.save({'array': Array()}, path, pickle_module=_renaming(rebuild.__module__, module))
    np.testing.assert_array_equal(torch.load(path, weights_only=True)['array'], [1.5, 2.5])


def _renaming(old, new):
    """The pickle module, but that it writes another module name (of protocol 2)."""

    class Pickler(pickle.Pickler):
        def __init__(self, file, protocol):
            self._target = file
            super().__init__(file, protocol)

        def dump(self, obj):
            text = pickle.dumps(obj, protocol=2)
            assert old.encode() in text
            self._target.write(text.replace(b'c' + old.encode(), b'c' + new.encode()))

    class Module:
        pass

    Module.Pickler = Pickler
    Module.dumps = staticmethod(pickle.dumps)
    return Module


@pytest.mark.parametrize('name', ['min', 'max', 'mean', 'current'])
def test_methods_of_the_buffer_are_given(name):
    assert checkpoint_method(HistoryBuffer, name) is getattr(HistoryBuffer, name)


@pytest.mark.parametrize(
    ('owner', 'name'),
    [
        (HistoryBuffer, '__init__'),
        (HistoryBuffer, '_statistics_methods'),
        (HistoryBuffer, 'register_statistics'),
        (HistoryBuffer, 'data'),
        (HistoryBuffer, 'absent'),
        (HistoryBuffer.mean, '__globals__'),
        (np, 'load'),
    ],
)
def test_nothing_else_is_given(owner, name):
    with pytest.raises(pickle.UnpicklingError, match='only public methods of HistoryBuffer'):
        checkpoint_method(owner, name)


@pytest.mark.parametrize('payload', [Steals(), Attack('folder')])
def test_malicious_files_are_refused(tmp_path, payload):
    path = tmp_path / 'bad.pth'
    torch.save({'state_dict': payload}, path)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)


def test_allowing_twice_is_harmless(checkpoint):
    before = len(torch.serialization.get_safe_globals())
    allow_mmengine_checkpoints()
    assert len(torch.serialization.get_safe_globals()) == before


class _Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(1, 1)

    def forward(self, x, mode='loss'):
        return dict(loss=(self.fc(x) - 2 * x).square().mean())

    def train_step(self, data, optim_wrapper):
        losses = self(data)
        optim_wrapper.update_params(losses['loss'])
        return losses


def _runner(work_dir, epochs, name, **kwargs):
    return Runner(
        model=_Model(),
        work_dir=str(work_dir),
        train_dataloader=dict(
            dataset=torch.arange(4.0).reshape(4, 1),
            batch_size=2,
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=dict(type='default_collate'),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(optimizer=dict(type='Adam', lr=0.1)),
        param_scheduler=dict(type='CosineAnnealingLR', T_max=4, by_epoch=True),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1)),
        experiment_name=name,
        default_scope='mmengine',
        **kwargs,
    )


def test_a_real_run_resumes_from_a_safely_loaded_checkpoint(tmp_path, monkeypatch):
    """As upstream does it: ``torch.load`` at its default, which is the safe load."""
    _runner(tmp_path, 2, 'safe_globals_first').train()
    path = tmp_path / 'epoch_2.pth'
    loaded = torch.load(path, weights_only=True)
    assert loaded['meta']['epoch'] == 2
    assert len(loaded['message_hub']['log_scalars']['train/loss'].data[0]) == 4

    monkeypatch.setattr('mmengine.runner.runner._load_checkpoint', _load_as_upstream)
    runner = _runner(tmp_path, 3, 'safe_globals_second', resume=True)
    runner.train()
    assert runner.epoch == 3
    assert len(runner.message_hub.get_scalar('train/loss').data[0]) == 6


def _load_as_upstream(filename, map_location=None, logger=None):
    return torch.load(filename, map_location=map_location)


def test_no_other_attribute_of_a_schedule_is_fetched():
    owner = OneCycleParamScheduler
    assert checkpoint_method(owner, '_annealing_cos') is owner._annealing_cos
    for name in ('__init__', 'state_dict', '__globals__'):
        with pytest.raises(pickle.UnpicklingError, match=name):
            checkpoint_method(owner, name)
    with pytest.raises(pickle.UnpicklingError):
        checkpoint_method(owner._annealing_cos, '__globals__')
