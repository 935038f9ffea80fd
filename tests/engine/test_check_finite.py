"""A training stops before a step that is not finite."""

import itertools

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from torch import nn

from condseg_mmseg.engine import CheckFiniteHook, read_checkpoint
from condseg_mmseg.utils.errors import UserError

_names = (f'check_finite_{i}' for i in itertools.count())


class Net(BaseModel):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(1, 1)
        self.norm = nn.BatchNorm1d(1)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        y = self.fc(torch.stack(inputs))
        if all(x.isfinite().all() for x in inputs):  # else BatchNorm would keep it
            y = self.norm(y)
        return dict(loss_a=y.square().mean(), loss_b=torch.zeros(()))


def train(folder, values, **hook):
    data = [
        dict(
            inputs=torch.tensor([v]),
            data_samples=BaseDataElement(metainfo=dict(img_path=f'{i}.jpg')),
        )
        for i, v in enumerate(values)
    ]
    torch.manual_seed(0)
    runner = Runner(
        model=Net(),
        work_dir=str(folder),
        train_dataloader=dict(
            dataset=data,
            batch_size=2,
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=dict(type='pseudo_collate'),
        ),
        train_cfg=dict(by_epoch=False, max_iters=len(values) // 2),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.1, weight_decay=0.5)),
        default_hooks=dict(
            check_finite=dict(type='CheckFiniteHook', **hook),
            checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=1),
        ),
        custom_hooks=[dict(type='EMAHook')],
        experiment_name=next(_names),
        default_scope='mmseg',
    )
    runner.train()
    return runner


NAN = float('nan')


@pytest.mark.parametrize('value', [NAN, float('inf')])
def test_it_stops_before_the_step_and_names_what_it_found(tmp_path, value):
    with pytest.raises(UserError) as error:
        train(tmp_path, [1.0, 2.0, 3.0, 4.0, 5.0, value, 7.0, 8.0])
    text = str(error.value)
    assert text.startswith(
        'iteration 3 (epoch 1): the gradients of 2 parameters are not finite: fc.weight, fc.bias; '
        'losses: loss_a '
    )
    assert 'images: 4.jpg, 5.jpg. The last checkpoint is from before it' in text
    assert sorted(path.name for path in tmp_path.glob('*.pth')) == ['iter_1.pth', 'iter_2.pth']
    content = read_checkpoint(tmp_path / 'iter_2.pth')
    for key in ('state_dict', 'ema_state_dict'):
        assert all(torch.as_tensor(v).isfinite().all() for v in content[key].values())


def test_a_batch_that_is_left_out_changes_nothing(tmp_path):
    good = [1.0, 2.0, 3.0, 4.0, 7.0, 8.0]
    plain = train(tmp_path / 'a', good).model.state_dict()
    bad = [*good[:4], 5.0, NAN, *good[4:]]
    skipped = train(tmp_path / 'b', bad, max_skips=1).model.state_dict()
    for name in ('fc.weight', 'fc.bias', 'norm.weight', 'norm.running_mean'):
        assert torch.equal(plain[name], skipped[name])


def test_it_stops_after_as_many_as_were_allowed(tmp_path):
    with pytest.raises(UserError, match=r'iteration 3 .*images: 4\.jpg, 5\.jpg'):
        train(tmp_path, [1.0, 2.0, 3.0, NAN, NAN, 6.0], max_skips=1)
    with pytest.raises(ValueError, match='max_skips must be >= 0, got -1'):
        CheckFiniteHook(max_skips=-1)


def test_a_loss_alone_stops_it_too(tmp_path, monkeypatch):
    def forward(self, inputs, data_samples=None, mode='tensor'):
        return dict(loss=self.fc(torch.stack(inputs)).mean() + inputs[1].sum().exp())

    monkeypatch.setattr(Net, 'forward', forward)
    with pytest.raises(UserError, match=r'a loss is not finite; losses: loss inf; images: 2'):
        train(tmp_path, [1.0, 2.0, 3.0, 1e4], max_skips=5)  # the loss is of one process


def test_buffers_that_are_spoilt_stop_it_all_the_same(tmp_path, monkeypatch):
    def forward(self, inputs, data_samples=None, mode='tensor'):
        return dict(loss=self.norm(self.fc(torch.stack(inputs))).square().mean())

    monkeypatch.setattr(Net, 'forward', forward)
    with pytest.raises(UserError, match=r'buffers: norm\.running_mean, norm\.running_var'):
        train(tmp_path, [1.0, 2.0, 3.0, NAN], max_skips=5)
