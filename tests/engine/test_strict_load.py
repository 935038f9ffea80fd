"""A checkpoint that does not hold the network stops a test and a resume."""

import pytest
import torch
from attacks.checkpoints import renamed, without_numbers
from mmengine.model import BaseModel, BaseTTAModel
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from torch import nn

from condseg_mmseg.engine import StrictLoadHook
from condseg_mmseg.engine.strict_load import compare
from condseg_mmseg.utils.errors import UserError


class Net(BaseModel):
    def __init__(self, width=1):
        super().__init__()
        self.body = nn.Linear(1, 2)
        self.norm = nn.BatchNorm1d(2)
        self.head = nn.Linear(2, width)
        self.auxiliary_head = nn.Linear(2, 1)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        x = self.head(self.norm(self.body(inputs)))
        return dict(loss=x.square().mean()) if mode == 'loss' else [BaseDataElement()]


class TTA(BaseTTAModel):
    def merge_preds(self, data_samples_list):
        raise NotImplementedError


def _run(task, tmp_path, weights, model=None, hook=None, **kwargs):
    """Run a task of mmengine from a checkpoint with these weights."""
    file = tmp_path / 'given.pth'
    hub = dict(log_scalars={}, runtime_info={}, resumed_keys={})
    torch.save(dict(state_dict=weights, meta=dict(epoch=0, iter=0), message_hub=hub), file)
    data = dict(
        dataset=[dict(inputs=torch.tensor([float(i)])) for i in range(4)],
        batch_size=2,
        sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='default_collate'),
    )
    runner = Runner(
        model=model or Net(),
        work_dir=str(tmp_path / 'work'),
        train_dataloader=data,
        train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        test_dataloader=data,
        test_cfg={},
        test_evaluator=[],
        default_hooks=dict(strict_load=hook or StrictLoadHook()),
        load_from=str(file),
        experiment_name=f'strict_load_{tmp_path.name}',
        default_scope='mmengine',
        **kwargs,
    )
    getattr(runner, task)()
    return runner


@pytest.fixture
def weights():
    return Net().state_dict()


def without(weights, *prefixes):
    return {name: value for name, value in weights.items() if not name.startswith(prefixes)}


def test_names_and_shapes_are_compared():
    own = dict(a=torch.zeros(2), b=torch.zeros(3), num_batches_tracked=torch.zeros(()))
    given = dict(b=torch.zeros(4), c=torch.zeros(1))
    assert compare(own, given) == (['a'], {'b': 'b ((4,) instead of (3,))'}, ['c'])


def test_a_test_needs_what_prediction_uses(tmp_path, weights):
    runner = _run('test', tmp_path, without(weights, 'auxiliary_head'))
    assert torch.equal(runner.model.head.weight, weights['head.weight'])
    with pytest.raises(UserError, match=r'given\.pth does not fit the network:\n  2 missing: head'):
        _run('test', tmp_path, without(weights, 'head'))
    with pytest.raises(UserError, match=r'2 of another shape: head\.weight \(\(1, 2\) instead of'):
        _run('test', tmp_path, weights, Net(width=3))
    with pytest.raises(UserError, match='8 missing: body'):
        _run('test', tmp_path, renamed(weights))


def test_prefixes_of_wrappers_and_test_time_augmentation_fit(tmp_path, weights):
    _run('test', tmp_path, renamed(weights, 'module.'))
    with pytest.raises(UserError, match='2 missing: head'):
        _run('test', tmp_path, without(weights, 'head'), TTA(Net()))


def test_resume_needs_every_weight(tmp_path, weights):
    assert _run('train', tmp_path, weights, resume=True).epoch == 1
    with pytest.raises(UserError, match='2 missing: auxiliary_head'):
        _run('train', tmp_path, without(weights, 'auxiliary_head'), resume=True)


def test_a_start_needs_one_weight(tmp_path, weights, capsys):
    given = {**without(weights, 'head', 'auxiliary_head'), 'more': torch.ones(1)}
    _run('train', tmp_path, given)
    printed = capsys.readouterr().out
    assert printed.count('unexpected key in source state_dict: more') == 1
    assert printed.count('missing keys in source state_dict: head.weight, head.bias, aux') == 1
    with pytest.raises(UserError, match=r'given\.pth has no weight of the network:\n  10 missing'):
        _run('train', tmp_path, {'more': torch.ones(1)})
    with pytest.raises(UserError, match='does not fit the network:\n  4 missing'):
        _run('train', tmp_path, given, hook=StrictLoadHook(strict=True))


@pytest.mark.parametrize('task', ['train', 'test'])
def test_weights_that_are_not_finite_stop(tmp_path, weights, task):
    weights = without_numbers(weights, 'norm.running_var', float('inf'))
    with pytest.raises(UserError, match=r'given\.pth: NaN or infinite: norm\.running_var;'):
        _run(task, tmp_path, weights)
