"""A training without a single batch is refused before its schedules are built."""

import subprocess
import sys

import cv2
import numpy as np
import pytest
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import Dataset

from condseg_mmseg.engine import NonEmptyEpochTrainLoop, non_empty_epoch_train_loop


class Numbers(Dataset):
    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return index


class Model(BaseModel):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.steps = 0

    def forward(self, *args, **kwargs):
        self.steps += 1
        return dict(loss=self.layer.weight.sum())


def _runner(folder, images, loop='NonEmptyEpochTrainLoop', batch_size=4, drop_last=True):
    schedule = dict(type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True, T_max=2)
    return Runner(
        Model(),
        str(folder),
        train_dataloader=dict(
            dataset=Numbers(images), batch_size=batch_size, drop_last=drop_last, num_workers=0,
            sampler=dict(type='DefaultSampler'),
        ),
        train_cfg=dict(type=loop, max_epochs=2),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        param_scheduler=schedule,
        default_scope='mmseg',
        experiment_name=f'{images}_{loop}_{batch_size}_{drop_last}',
        log_level='ERROR',
    )  # fmt: skip


@pytest.mark.parametrize(
    ('images', 'drop_last', 'steps'), [(4, True, 2), (9, True, 4), (3, False, 2), (9, False, 6)]
)
def test_it_trains_where_there_is_a_batch(tmp_path, images, drop_last, steps):
    runner = _runner(tmp_path, images, drop_last=drop_last)
    runner.train()
    assert isinstance(runner.train_loop, NonEmptyEpochTrainLoop)
    assert runner.model.steps == runner.iter == steps


def test_no_batch_is_named_with_images_processes_and_batch_size(tmp_path, monkeypatch):
    message = (
        '3 training images make no batch of 4 per process with 1 process, and drop_last=True '
        'leaves smaller ones out: an epoch would have no iteration. Set '
        'train_dataloader.batch_size to 3 or less'
    )
    with pytest.raises(ValueError, match='3 training images') as error:
        _runner(tmp_path, 3).train()
    assert str(error.value) == message
    with pytest.raises(AssertionError, match='epoch_length'):  # what mmengine says
        _runner(tmp_path, 3, 'EpochBasedTrainLoop').train()
    monkeypatch.setattr(non_empty_epoch_train_loop, 'get_world_size', lambda: 2)
    with pytest.raises(ValueError, match=r'with 2 processes, .* to 1 or less'):
        _runner(tmp_path, 3).train()


@pytest.mark.slow
def test_the_command_refuses_a_shipped_config_with_too_few_images(root, tmp_path):
    for name in ('images', 'masks'):
        (tmp_path / name).mkdir()
        for i in range(4):
            mask = np.eye(96, dtype=np.uint8) * 255
            cv2.imwrite(str(tmp_path / name / f'{i}.png'), mask)
    (tmp_path / 'train.txt').write_text('0\n1\n2\n')
    (tmp_path / 'val.txt').write_text('3\n')
    config = root / 'configs' / 'condseg' / 'condseg_r18_1xb8-4e_demo-96x96.py'
    options = [f'{split}_dataloader.dataset.data_root={tmp_path}' for split in ('train', 'val')]
    done = subprocess.run(
        [sys.executable, str(root / 'tools' / 'train.py'), str(config),
         '--work-dir', str(tmp_path / 'work'), '--cfg-options', *options],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith('ValueError: 3 training images make no batch of 8 per process')
    assert not list((tmp_path / 'work').glob('*.pth'))
