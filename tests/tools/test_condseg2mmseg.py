"""The converter: nothing left over, nothing unfilled, nothing unsafe, nothing half-written."""

import pickle

import pytest
import torch
from helpers import load_script, reference_state
from mmengine.runner import load_checkpoint
from safetensors.torch import load_file

converter = load_script('tools/model_converters/condseg2mmseg.py')


@pytest.fixture(scope='module')
def published():
    return reference_state('condseg_r50.keys.json', 0)


@pytest.fixture(scope='module')
def own():
    return converter.build_own()


def test_every_entry_of_both_sides_is_paired_once(published, own):
    targets = [converter.translate(name) for name in published]
    assert sorted(targets) == sorted(own)


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
    from mmengine.config import Config
    from mmseg.registry import MODELS

    from condseg_mmseg.configs import config_dir

    path = tmp_path / 'ours.pth'
    converter.save(converter.convert(published, own), path, 'x')
    model = MODELS.build(Config.fromfile(config_dir() / converter.CONFIG).model)
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
