"""The converter: nothing left over, nothing unfilled, nothing unsafe, nothing half-written."""

import pickle

import pytest
import torch
from helpers import load_script, reference_state
from mmengine.config import Config
from mmengine.runner import load_checkpoint
from mmseg.registry import MODELS
from safetensors.torch import load_file

from condseg_mmseg.configs import config_dir

converter = load_script('tools/model_converters/condseg2mmseg.py')


@pytest.fixture(scope='module')
def published():
    return reference_state('condseg_r50.keys.json', 0)


@pytest.fixture(scope='module')
def own():
    return converter.build_own()


@pytest.fixture(scope='module')
def published_stage1():
    return reference_state('stage1_r50.keys.json', 0)


def test_every_entry_of_both_sides_is_paired_once(published, own):
    targets = [converter.translate(name) for name in published]
    assert sorted(targets) == sorted(own)


def test_every_entry_of_stage_1_is_paired_once(published_stage1):
    targets = [converter.translate(name) for name in published_stage1]
    assert sorted(targets) == sorted(converter.build_own(1))


def test_stage_1_gives_stage_2_its_whole_encoder(published_stage1, own):
    encoder = {n for n in map(converter.translate, published_stage1) if n.startswith('backbone.')}
    assert encoder == {n for n in own if n.startswith('backbone.')}


def test_command_line_converts_stage_1(tmp_path, published_stage1):
    source, target = tmp_path / 'published.pth', tmp_path / 'ours.pth'
    torch.save(published_stage1, source)
    converter.main([str(source), str(target), '--stage', '1'])
    written = torch.load(target, weights_only=True)
    assert written['meta']['config'] == converter.CONFIGS[1]
    config = Config.fromfile(config_dir() / converter.CONFIGS[1])
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
    with pytest.raises(SystemExit) as stopped:
        converter.main([str(source), str(tmp_path / 'ours.pth'), *option])
    assert stopped.value.code == 1
    expected = f'published.pth is of stage {stage}: convert it with --stage {stage}'
    assert expected in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_command_line_writes_what_loads_strictly(tmp_path, published, suffix, own):
    source, target = tmp_path / 'published.pth', tmp_path / f'ours{suffix}'
    wrapped = {f'module.{name}': value for name, value in published.items()}
    torch.save({'state_dict': wrapped, 'epoch': 3}, source)
    converter.main([str(source), str(target)])
    if suffix == '.pth':
        written = torch.load(target, weights_only=True)
        assert written['meta']['converted_from'] == 'published.pth'
        state = written['state_dict']
    else:
        state = load_file(target)
    assert list(sorted(state)) == sorted(own)
    assert torch.equal(state['neck.cdfa.3.value.weight'][:, :, 0, 0], published['cdfa4.v.weight'])
    assert torch.equal(state['backbone.bn1.running_var'], published['layer0.1.running_var'])
    assert not list(tmp_path.glob('*.part'))


def test_mmengine_loads_the_result(tmp_path, published, own):
    path = tmp_path / 'ours.pth'
    converter.save(converter.convert(published, own), path, 'x')
    model = MODELS.build(Config.fromfile(config_dir() / converter.CONFIGS[2]).model)
    load_checkpoint(model, str(path), map_location='cpu', strict=True)
    assert torch.equal(model.neck.cdfa[0].proj.bias, published['cdfa1.proj.bias'])


def test_leftovers_of_both_sides_are_listed(published, own):
    changed = dict(published)
    changed['extra.weight'] = changed.pop('cdfa1.v.bias')
    with pytest.raises(ValueError, match='2 entries do not match') as error:
        converter.convert(changed, own)
    assert 'left over in the published checkpoint: extra.weight' in str(error.value)
    assert 'not filled in our network: neck.cdfa.0.value.bias' in str(error.value)


def test_wrong_shapes_are_named(published, own):
    changed = {**published, 'cdfa1.v.bias': torch.zeros(64)}
    with pytest.raises(ValueError, match=r'cdfa1.v.bias has shape \(64,\), .* needs \(128,\)'):
        converter.convert(changed, own)


class Bomb:
    def __reduce__(self):
        return print, ('this must never run',)


def test_a_checkpoint_that_runs_code_is_refused(tmp_path, capsys):
    source = tmp_path / 'evil.pth'
    torch.save({'state_dict': {'x': Bomb()}}, source)
    with pytest.raises(SystemExit) as stopped:
        converter.main([str(source), str(tmp_path / 'out.pth')])
    captured = capsys.readouterr()
    assert stopped.value.code == 1
    assert 'evil.pth cannot be read as a checkpoint of plain tensors' in captured.err
    assert 'must never run' not in captured.out
    assert not (tmp_path / 'out.pth').exists()
    assert pickle.dumps(Bomb())  # it does pickle: the loader refused it, not the writer


@pytest.mark.parametrize(
    ('damage', 'reason'),
    [
        (lambda whole: b'hello world\n', r'\(KeyError: '),
        (lambda whole: b'', r'\(EOFError\)'),
        (lambda whole: whole[:-100], r'failed finding central directory\)'),
        (None, r'\(UnpicklingError: Unsupported global: GLOBAL .*print was not an allowed'),
    ],
    ids=['text', 'empty', 'truncated', 'code'],
)
def test_what_is_no_checkpoint_gets_one_line_without_torchs_advice(tmp_path, damage, reason):
    import re

    source = tmp_path / 'some.pth'
    torch.save({'x': torch.ones(100) if damage else Bomb()}, source)
    if damage:
        source.write_bytes(damage(source.read_bytes()))
    with pytest.raises(ValueError, match='it is none, or truncated, or holds what') as error:
        converter.load_published(source)
    text = str(error.value)
    assert re.search(reason, text), text
    assert '\n' not in text
    assert not re.search('weights_only|issue|safe_globals|trust', text), text


@pytest.mark.parametrize(
    ('src', 'dst', 'message'),
    [
        ('missing.pth', 'out.pth', 'SRC .*missing.pth does not exist'),
        ('there.pth', 'out.onnx', r'DST must end in .pth or .safetensors, got .*out.onnx'),
        ('there.pth', 'no/out.pth', 'folder of DST .* does not exist'),
    ],
)
def test_wrong_paths_are_named_before_any_work(tmp_path, capsys, src, dst, message):
    import re

    (tmp_path / 'there.pth').touch()
    with pytest.raises(SystemExit):
        converter.main([str(tmp_path / src), str(tmp_path / dst)])
    assert re.search(message, capsys.readouterr().err)
