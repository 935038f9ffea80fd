"""The converter: nothing left over, nothing unfilled, nothing unsafe, nothing half-written."""

import pickle

import pytest
import torch
from helpers import reference_state
from mmengine.config import Config
from mmengine.runner import load_checkpoint
from mmseg.registry import MODELS
from safetensors.torch import load_file

from condseg_mmseg.apis.convert import CONFIGS, build_own, convert, convert_state, save, translate
from condseg_mmseg.cli import main
from condseg_mmseg.configs import config_dir
from condseg_mmseg.utils.errors import UserError


@pytest.fixture(scope='module')
def published():
    return reference_state('condseg_r50.keys.json', 0)


@pytest.fixture(scope='module')
def own():
    return build_own()


@pytest.fixture(scope='module')
def published_stage1():
    return reference_state('stage1_r50.keys.json', 0)


def test_every_entry_of_both_sides_is_paired_once(published, own):
    targets = [translate(name) for name in published]
    assert sorted(targets) == sorted(own)


def test_every_entry_of_stage_1_is_paired_once(published_stage1):
    targets = [translate(name) for name in published_stage1]
    assert sorted(targets) == sorted(build_own(1))


def test_stage_1_gives_stage_2_its_whole_encoder(published_stage1, own):
    encoder = {n for n in map(translate, published_stage1) if n.startswith('backbone.')}
    assert encoder == {n for n in own if n.startswith('backbone.')}


def test_command_line_converts_stage_1(tmp_path, published_stage1):
    source, target = tmp_path / 'published.pth', tmp_path / 'ours.pth'
    torch.save(published_stage1, source)
    assert convert(source, target, stage=1) == len(published_stage1)
    written = torch.load(target, weights_only=True)
    assert written['meta']['config'] == CONFIGS[1]
    config = Config.fromfile(config_dir() / CONFIGS[1])
    assert config.model.type == 'ConsistencyReinforcement'
    model = MODELS.build(config.model)
    model.load_state_dict(written['state_dict'], strict=True)
    bn, reference = model.decode_head.levels[3].bn, 'head.conv4.conv.1.running_var'
    assert torch.equal(bn.running_var, published_stage1[reference])


@pytest.mark.parametrize(('stage', 'option'), [(1, []), (2, ['--stage', '1'])])
def test_the_other_stage_is_named(tmp_path, capsys, request, stage, option):
    name = 'published_stage1' if stage == 1 else 'published'
    source = tmp_path / 'published.pth'
    torch.save(request.getfixturevalue(name), source)
    assert main(['convert', str(source), str(tmp_path / 'ours.pth'), *option]) == 2
    expected = f'published.pth is of stage {stage}: convert it with --stage {stage}'
    assert expected in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_command_line_writes_what_loads_strictly(tmp_path, published, suffix, own):
    source, target = tmp_path / 'published.pth', tmp_path / f'ours{suffix}'
    wrapped = {f'module.{name}': value for name, value in published.items()}
    torch.save({'state_dict': wrapped, 'epoch': 3}, source)
    assert main(['convert', str(source), str(target)]) == 0
    if suffix == '.pth':
        written = torch.load(target, weights_only=True)
        assert written['meta']['converted_from'] == 'published.pth'
        state = written['state_dict']
    else:
        state = load_file(target)
    assert list(sorted(state)) == sorted(own)
    assert torch.equal(state['neck.cdfa.3.value.weight'][:, :, 0, 0], published['cdfa4.v.weight'])
    assert torch.equal(state['backbone.bn1.running_var'], published['layer0.1.running_var'])
    assert len(list(tmp_path.iterdir())) == 2


def test_mmengine_loads_the_result(tmp_path, published, own):
    path = tmp_path / 'ours.pth'
    save(convert_state(published, own), path, 'x')
    model = MODELS.build(Config.fromfile(config_dir() / CONFIGS[2]).model)
    load_checkpoint(model, str(path), map_location='cpu', strict=True)
    assert torch.equal(model.neck.cdfa[0].proj.bias, published['cdfa1.proj.bias'])


def test_leftovers_of_both_sides_are_listed(published, own):
    changed = dict(published)
    changed['extra.weight'] = changed.pop('cdfa1.v.bias')
    with pytest.raises(ValueError, match='2 entries do not match') as error:
        convert_state(changed, own)
    assert 'left over in the published checkpoint: extra.weight' in str(error.value)
    assert 'not filled in our network: neck.cdfa.0.value.bias' in str(error.value)


def test_wrong_shapes_are_named(published, own):
    changed = {**published, 'cdfa1.v.bias': torch.zeros(64)}
    with pytest.raises(ValueError, match=r'cdfa1.v.bias has shape \(64,\), .* needs \(128,\)'):
        convert_state(changed, own)


class Bomb:
    def __reduce__(self):
        return print, ('this must never run',)


def test_a_checkpoint_that_runs_code_is_refused(tmp_path, capsys):
    source = tmp_path / 'evil.pth'
    torch.save({'state_dict': {'x': Bomb()}}, source)
    assert main(['convert', str(source), str(tmp_path / 'out.pth')]) == 2
    captured = capsys.readouterr()
    assert 'evil.pth cannot be read as a checkpoint of tensors' in captured.err
    assert 'must never run' not in captured.out
    assert not (tmp_path / 'out.pth').exists()
    assert pickle.dumps(Bomb())  # it does pickle: the loader refused it, not the writer


@pytest.mark.parametrize(
    ('src', 'dst', 'message'),
    [
        ('missing.pth', 'out.pth', 'there is no checkpoint .*missing.pth'),
        ('a.pth', 'out.onnx', r'DST must end in .pth or .safetensors, got .*out.onnx'),
        ('a.pth', 'link.pth', r'DST .*link\.pth would overwrite the input .*a\.pth'),
        ('a.pth', 'b.pth', r'DST .*b\.pth is there already: add --force to replace it'),
    ],
)
def test_wrong_paths_are_named_before_any_work(tmp_path, src, dst, message):
    (tmp_path / 'a.pth').write_text('a')
    (tmp_path / 'b.pth').write_text('b')
    (tmp_path / 'link.pth').symlink_to('a.pth')
    with pytest.raises(UserError, match=message):
        convert(tmp_path / src, tmp_path / dst)
    assert [(tmp_path / f'{x}.pth').read_text() for x in 'ab'] == ['a', 'b']


def test_a_source_with_the_name_of_a_temporary_file_is_kept(tmp_path, published):
    """The converter wrote to DST.part first, whatever that was."""
    source, target = tmp_path / 'a.pth.part', tmp_path / 'a.pth'
    torch.save(published, source)
    before = source.read_bytes()
    convert(source, target)
    assert source.read_bytes() == before
    target.write_bytes(b'old')
    convert(source, target, force=True)
    assert 'state_dict' in torch.load(target, weights_only=True)
