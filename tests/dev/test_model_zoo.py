"""The model zoo: metafiles and tables in step with the configs, and how they are counted."""

import copy
import shutil

import model_zoo as zoo
import pytest
import torch
import yaml
import zoo_complexity as counting
from helpers import ROOT
from mmengine.config import Config
from torch.utils.flop_counter import FlopCounterMode

from condseg_mmseg.utils.errors import UserError

DEMO = ROOT / 'configs' / 'condseg' / 'condseg_r18_1xb8-4e_demo-96x96.py'
# The paper's table: mIoU, mDSC, recall, precision.
PAPER = {
    'Kvasir-SEG': (84.6, 90.5, 92.3, 91.7),
    'Kvasir-Sessile': (81.2, 89.1, 90.1, 90.0),
    'GlaS': (85.1, 91.6, 93.5, 90.5),
    'ISIC-2016': (86.8, 92.5),
    'ISIC-2017': (80.9, 88.3),
}


@pytest.fixture(scope='module')
def models():
    meta = yaml.safe_load((ROOT / 'configs' / 'condseg' / 'metafile.yml').read_text())
    return {model['Name']: model for model in meta['Models']}


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A copy with one data set, two ablations and the demo."""
    keep = ('kvasir-seg-256x256.py', 'demo-96x96.py')
    for folder in ('_base_', 'condseg', 'ablations'):
        shutil.copytree(ROOT / 'configs' / folder, tmp_path / 'configs' / folder)
    for path in (tmp_path / 'configs').rglob('*.py'):
        if '_base_' not in path.parts and not path.name.endswith(keep):
            path.unlink()
    (tmp_path / 'docs').mkdir()
    for name in ('docs/models.md', 'model-index.yml'):
        shutil.copy2(ROOT / name, tmp_path / name)
    metafile = tmp_path / 'configs' / 'condseg' / 'metafile.yml'
    meta = yaml.safe_load(metafile.read_text())
    del meta['Collections'][0]['Reported Results']['Results'][1:]
    metafile.write_text(yaml.safe_dump(meta))
    monkeypatch.setattr(zoo, 'ROOT', tmp_path)
    assert zoo.main(['--write', '--quick']) == 0
    return tmp_path


def tiny(size=32):
    """The demo's network, smaller."""
    config = Config.fromfile(DEMO)
    config.merge_from_dict(
        {
            'model.data_preprocessor.size': (size, size),
            'model.backbone.stem_channels': 8,
            'model.backbone.base_channels': 8,
            'model.neck.in_channels': [8, 8, 16, 32],
            'model.neck.out_channels': 8,
            'model.decode_head.in_channels': [8] * 4,
            'model.decode_head.channels': 8,
            'model.auxiliary_head.in_channels': 8,
        }
    )
    return config


def test_metafiles_and_tables_are_in_step_with_the_configs():
    assert zoo.compare(zoo.Zoo(ROOT, quick=True).expected(), ROOT) == []


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_parameters_and_flops_are_in_step_with_the_networks():
    assert zoo.compare(zoo.Zoo(ROOT, quick=False).expected(), ROOT) == []


def test_scores_are_the_papers_and_said_to_be(models):
    results = {name: model['Results'] for name, model in models.items() if 'Results' in model}
    assert all('_paper_' in name and '-stage1' not in name for name in results)
    found = {}
    for (result,) in results.values():
        assert result['Task'] == 'Semantic Segmentation'
        assert result['Source'].startswith('reported by the paper')
        found[result['Dataset']] = tuple(result['Metrics'].values())
        names = ['mIoU', 'mDice', 'mRecall', 'mPrecision']
        assert list(result['Metrics']) == names[: len(result['Metrics'])]
    assert found == PAPER
    assert {model['Weights'] for model in models.values() if 'Weights' in model} == {
        'weights/condseg_mmseg_weights/condseg_lite0_polyp.safetensors'
    }


def test_published_size_and_cost(models):
    stage1 = models['condseg-stage1_r50_official_1xb8-300e_glas-256x256']['Metadata']
    stage2 = models['condseg_r50_official_1xb12-300e_glas-256x256']['Metadata']
    assert f'{stage1["Parameters"] / 1e6:.2f}' == '8.66'
    assert f'{stage2["Parameters"] / 1e6:.2f}' == '45.55'
    # the released code runs all of it in prediction
    assert f'{(stage2["FLOPs"] + stage2["Training-only FLOPs"]) / 1e9:.0f}' == '101'


@pytest.mark.parametrize('file', ['docs/models.md', 'configs/condseg/README.md'])
def test_tables_show_networks_and_the_papers_scores(file):
    table = (ROOT / file).read_text().split('<!-- zoo -->')[1].split('<!-- /zoo -->')[0]
    assert '| 2 | ResNet-50 | 256 x 256 | 45.55 | 9.20 | 83.1 | 18.0 |' in table
    assert '| 1 | ResNet-50 | 256 x 256 | 8.66 | - | 12.6 | - |' in table
    assert 'No result of this repository' in table
    rows = [line.strip('| ').split(' | ') for line in table.splitlines()]
    for data_set, scores in PAPER.items():
        assert [r for r in rows if r[0] == data_set and r[-2:] == [str(x) for x in scores[:2]]] or [
            r for r in rows if r == [data_set, *map(str, scores), *['-'] * (4 - len(scores))]
        ]


@pytest.fixture(scope='module')
def counted():
    """A small network and what is counted of it."""
    model = counting.build_model(tiny())
    return model, counting.analyze(model, (32, 32))


def test_convolutions_are_counted_as_by_torch_and_the_op_by_hand(counted):
    model, analyzer = counted
    whole = counting._AllParts(copy.deepcopy(model)).to('meta')
    with FlopCounterMode(display=False) as oracle:
        whole(torch.zeros(1, 3, 32, 32, device='meta'))
    operators = analyzer.by_operator()
    # 1x1 convolutions of the aggregation run as matrix products
    products = sum(operators[name] for name in ('conv', 'bmm', 'linear'))
    assert 2 * products == oracle.get_total_flops()
    pixels = sum((32 // stride) ** 2 for stride in (2, 4, 8, 16))
    # 8 channels, for foreground and for background; 25 offsets in windows of 3 x 3
    assert operators['outlook'] == 2 * 25 * 8 * pixels


def test_parts_for_training_are_what_logits_do_not_depend_on(counted):
    numbers = counting.numbers(*counted)
    model = copy.deepcopy(counted[0]).to('meta').eval()
    model.neck.sid_in_eval = False
    x = torch.zeros(1, 3, 32, 32, device='meta')
    parameters = list(model.parameters())
    gradients = torch.autograd.grad(model(x).sum(), parameters, allow_unused=True)
    unused = [p.numel() for p, g in zip(parameters, gradients, strict=True) if g is None]
    assert sum(numbers['Training-only Parameters'].values()) == sum(unused) > 0
    assert numbers['Parameters'] == sum(p.numel() for p in parameters)
    convolutions = {}
    for name, part in (('prediction', model), ('whole', counting._AllParts(model))):
        model.neck.sid_in_eval = name == 'whole'
        with FlopCounterMode(display=False) as oracle:
            part(x)
        convolutions[name] = oracle.get_total_flops() / 2
    extra = convolutions['whole'] - convolutions['prediction']
    # the rest is BatchNorm, resizes and the op, a small part
    assert extra < numbers['Training-only FLOPs'] < 1.1 * extra


@pytest.mark.slow
def test_without_the_parts_for_training_the_same_is_counted(counted):
    numbers = counting.numbers(*counted)
    config = tiny()
    config.model.auxiliary_head = None
    config.model.neck.sid_outputs = False
    assert counting.measure(config) == {
        'Parameters': numbers['Parameters'] - sum(numbers['Training-only Parameters'].values()),
        'FLOPs': numbers['FLOPs'],
    }


class _Doubling(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return 2 * x


class _Unknown(torch.nn.Module):
    with_auxiliary_head = False

    def extract_feat(self, x):
        return _Doubling.apply(x)

    def decode_head(self, x):
        return x


def test_an_operation_that_no_handle_counts_is_refused():
    with pytest.raises(RuntimeError, match=r'no handle counts prim::PythonOp\._Doubling'):
        counting.analyze(_Unknown(), (32, 32))


def test_one_measurement_for_configs_that_share_a_network(monkeypatch):
    calls = []
    monkeypatch.setattr(zoo, 'measure', lambda config: calls.append(1) or {'Parameters': 1})
    numbers = zoo.Zoo(ROOT, quick=False).numbers
    name = 'condseg_r50{}_1xb12-300e_kvasir-seg-256x256.py'
    for preset in ('', '_official'):
        config = Config.fromfile(DEMO.parent / name.format(preset))
        assert numbers(name, config, {}) == {'Parameters': 1}
    assert len(calls) == 1
    for option in ({'model.neck.kernel_size': 5}, {'model.data_preprocessor.size': (128, 128)}):
        changed = Config(config.to_dict())
        changed.merge_from_dict(option)
        numbers('changed', changed, {})
    assert len(calls) == 3


@pytest.mark.parametrize(
    ('stem', 'message'),
    [
        ('condseg_r50_kvasir-seg', 'METHOD'),
        ('condseg_r51_1xb8-8e_demo-96x96', "no title for 'r51'"),
        ('condseg_r50_1xb8-8e_kvasir-256x256', "no title for 'kvasir'"),
    ],
)
def test_names_that_do_not_fit_are_refused(stem, message):
    with pytest.raises(UserError, match=message):
        zoo.parse_name(stem)


def test_a_name_is_taken_apart():
    parts = zoo.parse_name('condseg-stage1_r50_paper_2xb4-300e_kvasir-seg-to-glas-256x128')
    expected = ('condseg', '-stage1', 'r50', 'paper', '2', '4', '300', 'kvasir-seg', 'glas')
    assert tuple(parts.values()) == (*expected, '256', '128')
    assert zoo.parse_name('baseline-sid-cdfa_lite0_1xb8-3e_kvasir-seg-96x96')['preset'] is None


def test_the_first_sentence_describes(tmp_path):
    path = tmp_path / 'a.py'
    path.write_text('# Ablation: windows of 3.5\n# pixels, or so. And more.\nx = 1\n# other\n')
    assert zoo.describe(path) == 'windows of 3.5 pixels, or so'
    path.write_text('x = 1\n')
    assert zoo.describe(path) == ''


def test_check_names_what_is_out_of_step_and_write_puts_it_right(checkout, capsys):
    assert zoo.main(['--quick']) == 0
    readme, metafile = (checkout / 'configs' / 'condseg' / x for x in ('README.md', 'metafile.yml'))
    good = readme.read_text(), metafile.read_text()
    readme.write_text(good[0].replace('45.55 |', '44.44 |'))
    metafile.write_text(good[1].replace('Epochs: 300', 'Epochs: 30', 1))
    capsys.readouterr()
    assert zoo.main(['--quick', '--check']) == 1
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith('configs/condseg/metafile.yml:')
    assert first.endswith("has 'Epochs: 30' where the configs give 'Epochs: 300'")
    assert second.startswith('configs/condseg/README.md:')
    assert '44.44' in second
    assert zoo.main(['--quick', '--write']) == 0
    assert (readme.read_text(), metafile.read_text()) == good


def test_a_new_config_needs_its_numbers(checkout, capsys):
    folder = checkout / 'configs' / 'ablations'
    name = 'condseg-new_r50_1xb12-300e_kvasir-seg-256x256'
    shutil.copy2(folder / 'baseline_r50_1xb12-300e_kvasir-seg-256x256.py', folder / f'{name}.py')
    assert zoo.main(['--quick', '--write']) == 2
    said = f'error: {name}: its metafile has no parameters and FLOPs yet; run without --quick'
    assert said in capsys.readouterr().err
