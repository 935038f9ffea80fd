"""Starting from a checkpoint: all of it or an error that lists what does not fit."""

import os

import pytest
import torch
from engine.encoders import assert_equal, encoder, from_file, randomize, segmentor
from mmengine.config import Config
from mmengine.model import BaseModule, initialize
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS
from torch import nn

from condseg_mmseg.engine import strict_pretrained
from condseg_mmseg.engine.best_checkpoint import best_checkpoint
from condseg_mmseg.engine.damage import damage_of
from condseg_mmseg.engine.strict_pretrained import StrictPretrained


@pytest.fixture
def trained():
    return randomize(encoder())


@pytest.fixture
def save(tmp_path, trained):
    """Write a checkpoint of a segmentor with the encoder ``trained``; returns its path."""

    def write(name='stage1.pth', drop=(), more=(), encoder=trained):
        weights = {f'backbone.{key}': value for key, value in encoder.state_dict().items()}
        weights['decode_head.conv_seg.weight'] = torch.zeros(1, 4, 1, 1)
        weights = {key: value for key, value in weights.items() if key not in drop}
        path = tmp_path / name
        torch.save(dict(meta=dict(epoch=3), state_dict={**weights, **dict(more)}), path)
        return path

    return write


def test_every_parameter_and_statistic_is_loaded(save, trained, monkeypatch):
    path, said = save(), []
    monkeypatch.setattr(strict_pretrained, 'print_log', lambda text, logger: said.append(text))
    module = encoder(from_file(path))
    assert not torch.equal(module.bn1.running_mean, trained.bn1.running_mean)
    module.init_weights()
    assert_equal(module, trained)
    assert module.bn1.num_batches_tracked == 7
    parameters = len(list(trained.parameters()))
    buffers = len(list(trained.buffers()))
    assert said == [
        f'StemResNet: {parameters} parameters and {buffers} buffers from backbone.* of {path}'
    ]


def test_the_whole_checkpoint_without_a_prefix(tmp_path, trained):
    torch.save(trained.state_dict(), tmp_path / 'encoder.pth')
    module = encoder(dict(type='StrictPretrained', checkpoint=str(tmp_path / 'encoder.pth')))
    module.init_weights()
    assert_equal(module, trained)


def test_without_buffers_the_statistics_are_those_of_a_new_network(save, trained):
    """As in the released code: method section 7, row d."""
    statistics = [f'backbone.{name}' for name, _ in trained.named_buffers()]
    module = encoder(from_file(save(drop=statistics), buffers=False))
    module.init_weights()
    parameters = {name for name, _ in trained.named_parameters()}
    assert_equal(module, trained, parameters.__contains__)
    assert torch.equal(module.bn1.running_mean, torch.zeros(4))
    assert torch.equal(module.bn1.running_var, torch.ones(4))
    whole = encoder(from_file(save(), buffers=False))
    whole.init_weights()
    assert torch.equal(whole.bn1.running_mean, torch.zeros(4))


class Inner(BaseModule):
    """Writes over its weight, as mmengine's modules with an ``init_weights`` of their own do."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))

    def init_weights(self):
        super().init_weights()
        nn.init.constant_(self.weight, 9)


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))

    def init_weights(self):
        nn.init.constant_(self.weight, 9)


class Outer(BaseModule):
    def __init__(self, init_cfg=None):
        super().__init__(init_cfg)
        self.inner, self.plain = Inner(), Plain()


def test_children_do_not_write_over_what_was_loaded(tmp_path):
    """mmengine initialises them afterwards, unless the type is its own 'Pretrained'."""
    weights = {'inner.weight': torch.tensor([1.0, 2]), 'plain.weight': torch.tensor([3.0, 4])}
    torch.save(weights, tmp_path / 'outer.pth')
    outer = Outer()
    outer.init_weights()
    assert outer.inner.weight.tolist() == outer.plain.weight.tolist() == [9, 9]
    outer = Outer(dict(type='StrictPretrained', checkpoint=str(tmp_path / 'outer.pth')))
    outer.init_weights()
    assert outer.inner.weight.tolist() == [1, 2]
    assert outer.plain.weight.tolist() == [3, 4]


@pytest.mark.parametrize('after', [dict(type='Constant', layer='Conv2d', val=1), 'Pretrained'])
def test_an_initialisation_that_follows_is_refused(save, after):
    path = save()
    after = dict(type='Pretrained', checkpoint=str(path)) if after == 'Pretrained' else after
    good = encoder([dict(type='Constant', layer='Conv2d', val=1), from_file(path)])
    good.init_weights()
    bad = encoder([from_file(path), after])
    with pytest.raises(ValueError, match='must be the last and the only one'):
        bad.init_weights()


def test_other_scopes_reach_it_by_its_full_name(save, trained):
    cfg = from_file(save())
    with DefaultScope.overwrite_default_scope('mmengine'):
        module = encoder({**cfg, 'type': 'mmseg.StrictPretrained'})
        module.init_weights()
    assert_equal(module, trained)
    assert StrictPretrained('x', prefix='backbone').prefix == 'backbone.'


def test_missing_weights_are_listed(save):
    path = save(drop=('backbone.conv1.weight', 'backbone.bn1.running_var'))
    with pytest.raises(ValueError, match=r'2 missing: conv1\.weight, bn1\.running_var') as error:
        encoder(from_file(path)).init_weights()
    assert str(path) in str(error.value)
    assert 'left over' not in str(error.value)


def test_other_shapes_are_listed_ten_and_how_many(save):
    with pytest.raises(ValueError, match=r'conv1.weight \(\(4, 3, 7, 7\) instead of \(8,') as error:
        encoder(from_file(save()), stem_channels=8, base_channels=8).init_weights()
    total = len([v for v in encoder().state_dict().values() if v.ndim])
    assert f'{total} of another shape' in str(error.value)
    assert f'and {total - 10} more' in str(error.value)


def test_a_deeper_network_does_not_fit_in_silence(save):
    """Every weight of depth 18 is in depth 34 too, with the same shape."""
    path = save(encoder=randomize(encoder(depth=34)))
    with pytest.raises(ValueError, match=r'left over: layer1\.2\.conv1\.weight'):
        encoder(from_file(path)).init_weights()
    encoder(from_file(path, allow_unexpected=True)).init_weights()


def test_a_prefix_that_is_not_there_names_those_that_are(tmp_path, trained):
    torch.save({f'module.{k}': v for k, v in trained.state_dict().items()}, tmp_path / 'a.pth')
    with pytest.raises(ValueError, match=r"begins with 'backbone\.'; they begin with module\."):
        encoder(from_file(tmp_path / 'a.pth')).init_weights()


def test_files_from_before_the_counter(save, trained):
    """BatchNorm's num_batches_tracked came with torch 0.4.1."""
    counters = [f'backbone.{k}' for k in trained.state_dict() if k.endswith('batches_tracked')]
    module = encoder(from_file(save(drop=counters)))
    module.init_weights()
    assert_equal(module, trained, lambda name: not name.endswith('batches_tracked'))


def test_weights_that_are_not_finite(save, trained):
    trained.bn1.running_var[1] = float('nan')
    with pytest.raises(ValueError, match=r'\(NaN\) in backbone\.bn1\.running_var'):
        encoder(from_file(save())).init_weights()


def test_what_holds_no_state_dict_is_named(tmp_path):
    torch.save([1, 2], tmp_path / 'list.pth')
    with pytest.raises(ValueError, match='no state dict but a list'):
        encoder(from_file(tmp_path / 'list.pth')).init_weights()


def test_of_a_working_directory_the_best_is_taken(save, trained, tmp_path):
    with pytest.raises(ValueError, match='there is none'):
        best_checkpoint(tmp_path)
    save('epoch_9.pth', encoder=encoder())
    best = save('best_image_mIoU_epoch_4.pth')
    truncated = save('best_image_mIoU_epoch_8.pth')
    older = save('best_val_loss_epoch_5.pth', encoder=encoder())
    for age, path in enumerate([truncated, best, older]):
        os.utime(path, (1e9 - age, 1e9 - age))
    truncated.write_bytes(truncated.read_bytes()[:-200])
    assert not damage_of(best)
    assert best_checkpoint(tmp_path) == best
    module = encoder(from_file(tmp_path))
    module.init_weights()
    assert_equal(module, trained)
    best.unlink()
    older.unlink()
    with pytest.raises(ValueError, match=r'only damaged ones \(best_image_mIoU_epoch_8'):
        encoder(from_file(tmp_path)).init_weights()


def test_a_checkpoint_that_is_not_there_says_how_to_make_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match='condseg train STAGE1_CONFIG') as error:
        encoder(from_file('work_dirs/stage1')).init_weights()
    assert str(error.value).startswith(f'there is no checkpoint work_dirs/stage1 in {tmp_path}\n')
    for option in ('init_cfg=None', 'init_cfg.prefix=None'):
        assert option in str(error.value)


def test_addresses_are_loaded_through_torchs_cache(save, trained, tmp_path, monkeypatch):
    (tmp_path / 'hub' / 'checkpoints').mkdir(parents=True)
    monkeypatch.setattr(torch.hub, '_hub_dir', str(tmp_path / 'hub'))
    save('hub/checkpoints/stage1.pth')
    module = encoder(from_file('https://example.invalid/stage1.pth'))
    module.init_weights()
    assert_equal(module, trained)


def test_an_update_inside_a_model_leaves_the_rest_to_mmengine(save, trained, tmp_path):
    """The head is still initialised, and mmengine's log knows where the encoder is from."""
    cfg = Config(segmentor(from_file(path := save())))
    model = MODELS.build(cfg.model)
    nn.init.constant_(model.decode_head.conv_seg.weight, 5)
    infos = {}
    model._dump_init_info = lambda: infos.update(
        (name, model._params_init_info[p]['init_info']) for name, p in model.named_parameters()
    )
    model.init_weights()
    assert_equal(model.backbone, trained)
    assert not (model.decode_head.conv_seg.weight == 5).any()
    assert infos['backbone.conv1.weight'] == f'StrictPretrained: {path}'


def test_initialize_takes_it_for_any_module(tmp_path):
    torch.save({'weight': torch.ones(1, 2), 'bias': torch.ones(1)}, tmp_path / 'linear.pth')
    linear = nn.Linear(2, 1)
    initialize(linear, dict(type='StrictPretrained', checkpoint=str(tmp_path / 'linear.pth')))
    assert linear.weight.tolist() == [[1, 1]]
