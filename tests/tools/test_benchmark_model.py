"""benchmark.py model and train: every variant is the same function, on the demo's small network."""

import argparse
import json
import re
import sys

import mmcv
import numpy as np
import pytest
import torch
from helpers import ROOT, load_script
from torch import nn

CONFIGS = ROOT / 'configs' / 'condseg'
DEMO = str(CONFIGS / 'condseg_r18_1xb8-4e_demo-96x96.py')
STAGE_1 = str(CONFIGS / 'condseg-stage1_r18_1xb8-3e_demo-96x96.py')
QUICK = ['--shape', '48', '64', '--repeats', '1', '--warmup', '1', '--no-memory']

INFERENCE = ['literal', 'ours', 'ours-cl', 'ours-bf16', 'ours-bf16-cl', 'ours-products']


@pytest.fixture(scope='module')
def benchmark():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / 'tools' / 'analysis_tools')
        yield load_script('tools/analysis_tools/benchmark.py')


@pytest.fixture(scope='module')
def network(benchmark):
    return sys.modules['_benchmark.network']


@pytest.fixture
def args(benchmark):
    return benchmark.make_parser().parse_args(['model', '--config', DEMO, *QUICK])


def run(benchmark, path, name, *options):
    benchmark.main([name, '--config', DEMO, *QUICK, '--json', str(path), *options])
    return json.loads(path.read_text())


def test_inference_of_all_variants_gives_the_same_logits(benchmark, tmp_path, capsys):
    record = run(benchmark, tmp_path / 'model.json', 'model')
    row = record['passes']['48x64']
    assert record['variants'] == INFERENCE
    assert row['baseline'] == 'literal'
    for name in ('ours', 'ours-cl'):
        assert 0 < row['difference'][name]['difference'] < 1e-5
        assert row['difference'][name]['mask IoU'] > 0.998
    assert 1e-3 < row['difference']['ours-bf16']['difference'] < 0.2  # it is bfloat16
    assert 0.8 < row['difference']['ours-bf16']['mask IoU'] < 1
    assert 'ours-products' not in row['difference']
    assert record['settings']['config'] == 'configs/condseg/condseg_r18_1xb8-4e_demo-96x96.py'
    assert '| mask IoU |' in capsys.readouterr().out


def test_the_masks_are_cut_at_the_median_of_the_baseline(benchmark):
    compare = sys.modules['_benchmark.model'].compare
    baseline = torch.tensor([5.0, 6.0, 7.0, 8.0, 9.0])  # cut at 7: two pixels
    random = argparse.Namespace(checkpoint=None)
    found = compare(random, torch.tensor([5.0, 8.0, 7.0, 8.0, 9.0]), baseline)
    assert found['mask IoU'] == pytest.approx(2 / 3)
    assert found['difference'] == pytest.approx(2 / 9)
    trained = argparse.Namespace(checkpoint='best.pth')  # cut at 0: four pixels of five, and all
    found = compare(trained, torch.ones(5), torch.tensor([-1.0, 1.0, 1.0, 1.0, 1.0]))
    assert found['mask IoU'] == pytest.approx(4 / 5)


def test_real_images_are_read_as_the_config_says(benchmark, tmp_path):
    network = sys.modules['_benchmark.network']
    for name, value in (('b.png', 7), ('a.png', 255)):
        mmcv.imwrite(np.full((8, 6, 3), (0, 100, value), np.uint8), str(tmp_path / name))
    (tmp_path / 'notes.txt').write_text('no image')
    args = argparse.Namespace(images=tmp_path, batch=1, config=ROOT / DEMO)
    images = network.read_images(args, 32, 48)
    assert images.shape == (1, 3, 32, 48)
    # a.png comes first; its red is 255, in the file's last channel and RGB's first
    red = (255 - 123.675) / 58.395
    torch.testing.assert_close(images[0, 0], torch.full((32, 48), red))
    torch.testing.assert_close(images[0, 2], torch.full((32, 48), (0 - 103.53) / 57.375))


def test_literal_is_the_one_file_with_the_same_weights(benchmark, network, args, monkeypatch):
    torch.manual_seed(0)
    ours = network.build_network(args).state_dict()
    torch.manual_seed(0)
    model = network.build_literal(args)
    assert not model.training
    state = model.state_dict()
    assert state.keys() == ours.keys()
    assert all(torch.equal(value, ours[name]) for name, value in state.items())
    assert any(isinstance(m, nn.BatchNorm2d) for m in model.modules())  # not folded
    assert all(p.is_contiguous() for p in model.parameters())
    kinds = {type(m).__module__ for part in list(model.children())[1:] for m in part.modules()}
    assert {kind for kind in kinds if not kind.startswith('torch.')} == {network.ONE_FILE.stem}
    ran = []
    for part in (model.neck.sid, model.auxiliary_head):
        for branch in part.values():
            branch.register_forward_hook(lambda m, i, o: ran.append(m))
    bench = sys.modules['_benchmark.model']
    monkeypatch.setattr(bench, 'build_literal', lambda args: model)
    bench.BENCHMARK.make(args, '48x64', 'literal')()
    assert len(ran) == 6  # SID and its head with all their branches


def test_other_encoders_and_widths_have_a_baseline(benchmark, network, args):
    pytest.importorskip('efficientnet_lite_pytorch', reason='needs the extra "lite"')
    args.config = CONFIGS / 'condseg_lite0_1xb8-6e_kvasir-seg-160x160.py'
    torch.manual_seed(0)
    assert network.why_not_literal(args) is None
    model = network.build_literal(args)
    assert model.decode_head.conv_seg.in_channels == 16


@pytest.mark.parametrize(
    ('config', 'reason'),
    [
        (
            'condseg/condseg_r50_paper_1xb4-300e_kvasir-seg-256x256',
            r"paper.* has neck\.attn_order=\('bg', 'fg'\), which",
        ),
        (
            'condseg/condseg_r50_official_1xb12-300e_kvasir-seg-256x256',
            r'decode_head\.loss_decode=.*double_sigmoid.*, which',
        ),
        ('baselines/fcn_lite0_1xb8-20e_kvasir-seg-160x160', r'has neck\.type=None, which'),
        (
            'mixed/cdfa-fpn_r50_1xb12-300e_kvasir-seg-256x256',
            r'has neck\.sid_outputs=False, which',
        ),
    ],
)
def test_other_networks_have_no_literal_form(benchmark, network, args, config, reason):
    args.config = ROOT / 'configs' / f'{config}.py'
    for name in ('model', 'train'):
        bench = sys.modules[f'_benchmark.{name}'].BENCHMARK
        assert re.search(reason, bench.why_not(args, '48x64', 'literal'))
        assert bench.why_not(args, '48x64', 'ours') is None


def test_an_installed_package_says_where_the_one_file_is(benchmark, network, args, monkeypatch):
    monkeypatch.setattr(network, 'ONE_FILE', ROOT / 'nowhere' / 'condseg_in_one_file.py')
    for name in ('model', 'train', 'stage1'):
        why = sys.modules[f'_benchmark.{name}'].BENCHMARK.why_not(args, '48x64', 'literal')
        assert why == 'condseg_in_one_file.py comes with the repository only'


def test_products_are_all_convolutions_and_matrix_products(network):
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2), nn.Softmax(1)
    )
    x = torch.rand(1, 3, 4, 4)
    run = network.products_of(lambda: net(x))
    seen = network._Products()
    with seen:
        run()
    assert [func.overloadpacket.__name__ for func, _, _ in seen.calls] == ['convolution', 'addmm']


def test_nothing_is_read_and_batch_norm_is_not_trivial(benchmark, network, args, monkeypatch):
    monkeypatch.setattr(torch, 'load', None)
    args.config = CONFIGS / 'condseg_r50_1xb12-300e_kvasir-seg-256x256.py'
    monkeypatch.setattr(network, '_SETTLING', (2, 3, 32, 32))
    torch.manual_seed(0)
    model = network.build_network(args)
    assert not model.training
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) > 50
    for norm in norms:
        assert norm.running_mean.abs().min() > 0
        assert (norm.running_var - 1).abs().min() > 0
        assert norm.weight.std() > 0.1
        assert norm.momentum == 0.1


def test_a_checkpoint_gives_the_weights(benchmark, network, args, tmp_path):
    torch.manual_seed(3)
    model = network.build_network(args)
    torch.save(model.state_dict(), tmp_path / 'weights.pth')
    args.checkpoint = tmp_path / 'weights.pth'
    torch.manual_seed(0)
    loaded = network.build_network(args).state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in model.state_dict().items())


def test_a_training_step_of_all_variants_is_the_same_one(benchmark, tmp_path):
    record = run(benchmark, tmp_path / 'train.json', 'train', '--dtype', 'float32')
    row = record['passes']['48x64']
    assert record['variants'] == ['literal', 'ours', 'ours-cl', 'ours-cp', 'ours-cp-cl']
    for name in record['variants'][1:]:
        assert row['difference'][name]['loss'] < 1e-5
        assert 0 < row['difference'][name]['gradient'] < 1e-3


def test_a_step_holds_gradients_and_leaves_the_weights(benchmark):
    args = benchmark.make_parser().parse_args(['train', '--config', DEMO, *QUICK])
    bench = sys.modules['_benchmark.train'].BENCHMARK
    step = bench.make(args, '48x64', 'ours')
    first, second = step(), step()
    assert len(first) > 300
    assert any(name.startswith('auxiliary_head.uncertainty') for name in first)
    assert bench.compare(None, second, first) == {
        'loss': 0.0,
        'gradient': pytest.approx(0, abs=1e-6),
    }
    name = 'neck.cdfa.0.value.weight'
    second[name] = second[name] + 1
    assert bench.compare(None, second, first)['gradient'] > 1e-3
    del second[name]  # a gradient that is missing counts as 0
    assert bench.compare(None, second, first)['gradient'] > 0


def test_checkpointing_is_on_where_there_is_any(benchmark, network, args, monkeypatch):
    train = sys.modules['_benchmark.train']
    built = []
    build = network.build_network

    def keep(*a):
        built.append(build(*a))
        return built[-1]

    monkeypatch.setattr(train, 'build_network', keep)
    args.batch = 2
    train.BENCHMARK.make(args, '48x64', 'ours-cp')
    model = built[-1]
    assert model.neck.with_cp
    assert model.decode_head.with_cp
    assert train.why_not(args, '48x64', 'ours-cp') is None
    monkeypatch.setattr(train, '_checkpointed', lambda model: [])
    assert 'have with_cp' in train.why_not(args, '48x64', 'ours-cp')
    assert train.why_not(args, '48x64', 'ours') is None


def test_which_variants_run(benchmark):
    model = sys.modules['_benchmark.model'].BENCHMARK

    def chosen(*options):
        return model.chosen(benchmark.make_parser().parse_args(['model', *options]))

    assert chosen() == INFERENCE
    assert chosen('--dtype', 'bfloat16') == ['ours-bf16', 'ours-bf16-cl']
    assert 'ours-compiled' in chosen('--compile')
    assert chosen('--only', 'ours-bf16', 'ours') == ['ours', 'ours-bf16']
    assert chosen('--only', 'ours-compiled') == ['ours-compiled']


@pytest.mark.slow
def test_the_compiled_network_is_the_same(benchmark, tmp_path):
    record = run(benchmark, tmp_path / 'm.json', 'model', '--only', 'ours', 'ours-compiled')
    row = record['passes']['48x64']
    assert row['difference']['ours-compiled']['difference'] < 1e-5


@pytest.mark.slow
def test_it_runs_from_another_folder_and_tells_memory(benchmark, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = ['--config', DEMO, '--shape', '96', '96', '--repeats', '1', '--warmup', '1']
    benchmark.main(['train', *options, '--only', 'ours', 'ours-cp', '--json', 'out.json'])
    row = json.loads((tmp_path / 'out.json').read_text())['passes']['96x96']
    assert row['memory_saving']['ours-cp'] > 1.1
    assert isinstance(benchmark.make_parser(), argparse.ArgumentParser)
    default = benchmark.make_parser().parse_args(['model']).config
    assert default.is_file()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['model', '--config', 'no.py'], '--config no.py does not exist'),
        (['model', '--checkpoint', 'no.pth'], '--checkpoint no.pth does not exist'),
        (['model', '--images', 'no'], '--images no holds 0 images, fewer than --batch 1'),
        (['model', '--config', str(ROOT / 'configs/_base_/default_runtime.py')], 'has no model'),
        (['model', '--dtype', 'float16'], "--dtype: invalid choice: 'float16'"),
        (
            [
                'train',
                '--config',
                STAGE_1,
            ],
            'trains on two views',
        ),
    ],
)
def test_wrong_options_are_named(benchmark, capsys, options, message):
    with pytest.raises(SystemExit) as stopped:
        benchmark.main(options)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
