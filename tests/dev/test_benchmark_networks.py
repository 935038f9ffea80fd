"""benchmark.py model and train: every variant is the same function, on the demo's small network."""

import json
import re

import benchmark
import mmcv
import numpy as np
import pytest
import torch
from _benchmark import model, network, train
from helpers import ROOT
from mmengine.config import Config
from torch import nn

CONFIGS = ROOT / 'configs' / 'condseg'
DEMO = CONFIGS / 'condseg_r18_1xb8-4e_demo-96x96.py'
QUICK = ['--shape', '48', '64', '--repeats', '1', '--warmup', '1', '--no-memory']
INFERENCE = ['literal', 'ours', 'ours-cl', 'ours-bf16', 'ours-bf16-cl', 'ours-products']


def run(path, name, *options):
    assert benchmark.main([name, '--config', str(DEMO), *QUICK, '--json', str(path), *options]) == 0
    return json.loads(path.read_text())


def make(name, *options):
    args = benchmark.make_parser().parse_args([name, '--config', str(DEMO), *QUICK, *options])
    return benchmark.BENCHMARKS[name](args)


@pytest.fixture(scope='module')
def config():
    return Config.fromfile(DEMO)


def test_inference_of_all_variants_gives_the_same_logits(tmp_path, capsys):
    record = run(tmp_path / 'model.json', 'model')
    row = record['passes']['48x64']
    assert record['variants'] == INFERENCE
    assert row['baseline'] == 'literal'
    for name in ('ours', 'ours-cl'):
        assert 0 < row['difference'][name]['difference'] < 1e-5
        assert row['difference'][name]['mask IoU'] > 0.998
    assert 1e-3 < row['difference']['ours-bf16']['difference'] < 0.2  # it is bfloat16
    assert 0.8 < row['difference']['ours-bf16']['mask IoU'] < 1
    assert 'ours-products' not in row['difference']
    assert record['settings']['config'] == f'configs/condseg/{DEMO.name}'
    assert '| mask IoU |' in capsys.readouterr().out


def test_a_training_step_of_all_variants_is_the_same_one(tmp_path):
    record = run(tmp_path / 'train.json', 'train', '--dtype', 'float32')
    row = record['passes']['48x64']
    assert record['variants'] == ['literal', 'ours', 'ours-cl', 'ours-cp', 'ours-cp-cl']
    for name in record['variants'][1:]:
        assert row['difference'][name]['loss'] < 1e-5
        assert 0 < row['difference'][name]['gradient'] < 1e-3


@pytest.mark.slow
def test_checkpointing_saves_memory(tmp_path):
    options = ['--shape', '96', '96', '--repeats', '1', '--warmup', '1']
    command = ['train', '--config', str(DEMO), *options, '--only', 'ours', 'ours-cp']
    assert benchmark.main([*command, '--json', str(tmp_path / 'out.json')]) == 0
    row = json.loads((tmp_path / 'out.json').read_text())['passes']['96x96']
    assert row['memory_saving']['ours-cp'] > 1.1


@pytest.mark.slow
def test_the_compiled_network_is_the_same(tmp_path):
    row = run(tmp_path / 'm.json', 'model', '--only', 'ours', 'ours-compiled')['passes']['48x64']
    assert row['difference']['ours-compiled']['difference'] < 1e-5


def test_which_variants_run():
    assert make('model').chosen() == INFERENCE
    assert make('model', '--dtype', 'bfloat16').chosen() == ['ours-bf16', 'ours-bf16-cl']
    assert 'ours-compiled' in make('model', '--compile').chosen()
    assert make('model', '--only', 'ours-bf16', 'ours').chosen() == ['ours', 'ours-bf16']


def test_the_masks_are_cut_at_the_median_of_the_baseline():
    bench = make('model')
    baseline = torch.tensor([5.0, 6.0, 7.0, 8.0, 9.0])  # cut at 7: two pixels
    found = bench.compare(torch.tensor([5.0, 8.0, 7.0, 8.0, 9.0]), baseline)
    assert found['mask IoU'] == pytest.approx(2 / 3)
    assert found['difference'] == pytest.approx(2 / 9)
    bench.args.checkpoint = 'best.pth'  # cut at 0: four pixels of five, and all
    found = bench.compare(torch.ones(5), torch.tensor([-1.0, 1.0, 1.0, 1.0, 1.0]))
    assert found['mask IoU'] == pytest.approx(4 / 5)


def test_real_images_are_read_as_the_config_says(tmp_path, config):
    for name, value in (('b.png', 7), ('a.png', 255)):
        mmcv.imwrite(np.full((8, 6, 3), (0, 100, value), np.uint8), str(tmp_path / name))
    (tmp_path / 'notes.txt').write_text('no image')
    images = network.read_images(tmp_path, 1, (32, 48), config)
    assert images.shape == (1, 3, 32, 48)
    # a.png comes first; its red is 255, in the file's last channel and RGB's first
    red = (255 - 123.675) / 58.395
    torch.testing.assert_close(images[0, 0], torch.full((32, 48), red))
    torch.testing.assert_close(images[0, 2], torch.full((32, 48), (0 - 103.53) / 57.375))


def test_literal_is_the_one_file_with_the_same_weights(config):
    ours = network.build_network(config)
    literal = network.build_literal(config, ours)
    state = literal.state_dict()
    assert state.keys() == ours.state_dict().keys()
    assert all(torch.equal(value, state[name]) for name, value in ours.state_dict().items())
    assert any(isinstance(m, nn.BatchNorm2d) for m in literal.modules())  # not folded
    assert all(p.is_contiguous() for p in literal.parameters())
    kinds = {type(m).__module__ for part in list(literal.children())[1:] for m in part.modules()}
    assert {kind for kind in kinds if not kind.startswith('torch.')} == {network.ONE_FILE.stem}
    ran = []
    for part in (literal.neck.sid, literal.auxiliary_head):
        for branch in part.values():
            branch.register_forward_hook(lambda m, i, o: ran.append(m))
    literal.eval()(torch.rand(1, 3, 48, 64))
    assert len(ran) == 6  # SID and its head with all their branches


@pytest.mark.parametrize(
    ('config', 'reason'),
    [
        ('condseg/condseg_lite0_1xb8-6e_kvasir-seg-160x160', None),
        (
            'condseg/condseg_r50_paper_1xb4-300e_kvasir-seg-256x256',
            r"does not have neck\.attn_order=\('bg', 'fg'\)",
        ),
        ('baselines/fcn_lite0_1xb8-6e_kvasir-seg-160x160', r'does not have neck\.type=None'),
        (
            'mixed/cdfa-fpn_r50_1xb12-300e_kvasir-seg-256x256',
            r'does not have neck\.sid_outputs=False',
        ),
    ],
)
def test_other_encoders_have_a_literal_form_and_other_networks_not(config, reason):
    path = ROOT / 'configs' / f'{config}.py'
    why = network.why_not_literal(Config.fromfile(path))
    assert why is None if reason is None else re.search(reason, why)


def test_products_are_all_convolutions_and_matrix_products():
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2), nn.Softmax(1)
    )
    x = torch.rand(1, 3, 4, 4)
    products = model.products_of(lambda: net(x))
    with model.Products() as seen:
        products()
    assert [func.overloadpacket.__name__ for func, _, _ in seen.calls] == ['convolution', 'addmm']


def test_nothing_is_read_and_batch_norm_is_not_trivial(monkeypatch):
    monkeypatch.setattr(torch, 'load', None)
    monkeypatch.setattr(network, '_SETTLING', (2, 3, 32, 32))
    name = 'condseg_r50_1xb12-300e_kvasir-seg-256x256.py'
    built = network.build_network(Config.fromfile(CONFIGS / name))
    assert not built.training
    norms = [module for module in built.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) > 50
    for norm in norms:
        assert norm.running_mean.abs().min() > 0
        assert (norm.running_var - 1).abs().min() > 0
        assert norm.weight.std() > 0.1
        assert norm.momentum == 0.1


def test_a_checkpoint_gives_the_weights(config, tmp_path):
    built = network.build_network(config)
    torch.save(built.state_dict(), tmp_path / 'weights.pth')
    loaded = network.build_network(config, tmp_path / 'weights.pth').state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in built.state_dict().items())


def test_a_step_holds_gradients_and_leaves_the_weights():
    bench = make('train')
    step = bench.make('48x64', 'ours')
    first, second = step(), step()
    assert len(first) > 300
    assert any(name.startswith('auxiliary_head.uncertainty') for name in first)
    assert bench.compare(second, first) == {'loss': 0.0, 'gradient': pytest.approx(0, abs=1e-6)}
    name = 'neck.cdfa.0.value.weight'
    second[name] = second[name] + 1
    assert bench.compare(second, first)['gradient'] > 1e-3
    del second[name]  # a gradient that is missing counts as 0
    assert bench.compare(second, first)['gradient'] > 0


def test_checkpointing_is_on_where_there_is_any(config, monkeypatch):
    built = network.build_network(config)
    assert train.checkpointed(built) == [built.neck, built.auxiliary_head, built.decode_head]
    bench = make('train')
    assert bench.why_not('ours-cp') is None
    monkeypatch.setattr(train, 'checkpointed', lambda model: [])
    assert 'have with_cp' in bench.why_not('ours-cp')
    assert bench.why_not('ours') is None
