"""Every shipped config holds together; what it says is checked without building its network."""

import ast
import re

import pytest
import torch
from helpers import ROOT
from mmengine.config import Config, ConfigDict
from mmengine.registry import init_default_scope
from mmseg import registry
from shipped_configs import CONFIGS, NETWORKS, STEMS, load, named

import condseg_mmseg.models.segmentors as segmentors
from condseg_mmseg.evaluation.per_image_metric import SCORE_KEYS

DATA_SETS = ('kvasir-seg', 'kvasir-sessile', 'glas', 'isic2016', 'isic2017')
LOOP_OF = dict(train='NonEmptyEpochTrainLoop', val='ValLoop', test='TestLoop')


def transforms(pipeline):
    """All transforms of a pipeline, those inside of others too."""
    for node in pipeline:
        if isinstance(node, (list, tuple)):
            yield from transforms(node)
        else:
            yield node
            yield from transforms(node.get('transforms', []))


def pipelines(cfg):
    loaders = (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader)
    return [*(loader.dataset.pipeline for loader in loaders), cfg.tta_pipeline]


def test_there_are_configs():
    assert len(CONFIGS) >= 50
    expected = {
        f'condseg{stage}_r50_{preset}1xb{batch}-300e_{data}-256x256'
        for data in DATA_SETS
        for stage, preset, batch in (
            ('-stage1', '', 8), ('-stage1', 'official_', 8), ('-stage1', 'paper_', 4),
            ('', '', 12), ('', 'official_', 12), ('', 'paper_', 4),
        )
    }  # fmt: skip
    assert len(expected) == 30
    assert expected < set(STEMS)


@pytest.mark.parametrize('name', CONFIGS)
def test_a_leaf_shows_its_bases_how_to_run_it_and_what_it_costs(name):
    text = (ROOT / 'configs' / name).read_text()
    assert len(text.splitlines()) <= (42 if name.startswith('baselines/') else 27)
    *_, model, data, schedule, runtime = re.findall(
        r"'\.\./_base_/(?!presets)(.*)\.py'", text.partition(']')[0]
    )
    assert model.startswith('models/')
    assert data.startswith('datasets/')
    assert schedule.startswith('schedules/')
    assert runtime == 'default_runtime'
    assert ('presets/official' in text) == ('_official_' in name)
    comment = text.partition('_base_')[0]
    assert all(line.startswith('#') for line in comment.splitlines())
    launch = re.search(r'#     condseg (?:train|evaluate)((?:.* \\\n)?.*)\n', comment)
    *first, last = launch[1].replace('CHECKPOINT', '').replace('\\\n#', '').split()
    assert last == name.rpartition('/')[2].removesuffix('.py')
    assert [named(stage1)['stage1'] for stage1 in first] in ([], ['-stage1'])
    assert re.search(r'Not trained by us|minutes|hour|4 s on one core', comment[launch.end() :])


# each network and each data set
@pytest.mark.parametrize(
    'name', sorted({*NETWORKS, *{named(n)['data']: n for n in CONFIGS}.values()})
)
def test_a_dumped_config_is_the_same(name, tmp_path):
    load(name).dump(tmp_path / 'dumped.py')
    assert Config.fromfile(tmp_path / 'dumped.py').to_dict() == load(name).to_dict()


@pytest.mark.parametrize('name', CONFIGS)
def test_every_part_is_registered_and_takes_its_arguments(name):
    init_default_scope('mmseg')
    cfg = load(name)
    for pipeline in pipelines(cfg):
        for transform in pipeline:
            registry.TRANSFORMS.build(transform)
    for metric in [*cfg.val_evaluator, *cfg.test_evaluator]:
        registry.METRICS.build(metric)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedulers = cfg.param_scheduler
    for scheduler in [schedulers] if isinstance(schedulers, dict) else schedulers:
        arguments = dict(scheduler)
        arguments.setdefault('end', cfg.train_cfg.max_epochs)  # as mmengine's runner does
        kind = registry.PARAM_SCHEDULERS.get(arguments.pop('type'))
        if arguments.pop('convert_to_iter_based', False):
            kind.build_iter_from_epoch(optimizer=optimizer, epoch_length=10, **arguments)
        else:
            kind(optimizer=optimizer, **arguments)
    for hook in cfg.get('custom_hooks', []):
        registry.HOOKS.build(hook)
    for hook in cfg.default_hooks.values():
        assert registry.HOOKS.get(hook.type) is not None, hook.type
    for loop, kind in LOOP_OF.items():
        assert cfg[f'{loop}_cfg'].type == kind
        assert registry.LOOPS.get(kind) is not None
    for backend in cfg.vis_backends:
        assert registry.VISBACKENDS.get(backend.type) is not None, backend.type
    assert registry.VISUALIZERS.get(cfg.visualizer.type) is not None
    assert registry.MODELS.get(cfg.tta_model.type) is not None
    assert cfg.custom_imports == dict(imports=['condseg_mmseg'], allow_failed_imports=False)


@pytest.mark.parametrize('name', CONFIGS)
def test_data_sets_and_lists(name):
    cfg, said = load(name), named(name)
    train, val, test = (cfg[f'{x}_dataloader'].dataset for x in ('train', 'val', 'test'))
    for dataset in (train, val, test):
        assert registry.DATASETS.get(dataset.type).__name__ == 'BinaryMedicalDataset'
        assert dataset.data_prefix == dict(img_path='images', seg_map_path='masks')
    trained, _, tested = said['data'].partition('-to-')
    assert train.data_root == val.data_root == f'data/{trained}/'
    assert test.data_root == f'data/{tested or trained}/'
    assert (val.test_mode, test.test_mode) == (True, True)
    assert train.ann_file == 'train.txt'
    assert val.ann_file == ('test.txt' if trained in ('glas', 'isic2016') else 'val.txt')
    own_test = 'val.txt' if trained == 'kvasir-seg' else 'test.txt'
    reported = val.ann_file if '_official_' in name else own_test  # the released code's choice
    assert test.ann_file == ('all.txt' if tested else reported)
    # the lists that training should share no image with; one's own data may have no test list
    others = {val.ann_file} | (set() if trained in ('demo', 'custom') else {own_test})
    assert set(train.other_ann_files) == others


@pytest.mark.parametrize('name', CONFIGS)
def test_the_schedule_and_the_hooks_watch_what_validation_reports(name):
    cfg = load(name)
    metrics = {f'image/{key}' for key in SCORE_KEYS.values()}
    assert cfg.val_evaluator[0].type == 'PerImageBinaryMetric'
    if issubclass(registry.MODELS.get(cfg.model.type), segmentors.ValLossEncoderDecoder):
        metrics.add('val_loss')
    schedulers = cfg.param_scheduler
    schedulers = [schedulers] if isinstance(schedulers, dict) else schedulers
    watched = [node for node in [*schedulers, *cfg.get('custom_hooks', [])] if node.get('monitor')]
    if cfg.train_cfg.max_epochs == 300:
        assert [(w.type, w.monitor) for w in watched] == [
            ('ReduceOnPlateauLR', 'val_loss'),
            ('EarlyStoppingHook', 'image/mIoU'),
        ]
        assert (watched[0].factor, watched[0].patience, watched[1].patience) == (0.1, 30, 100)
        assert watched[1].min_delta == 0  # mmengine's default would count 0.09 points as no gain
    for node in watched:
        assert node.monitor in metrics
        assert node.rule == ('less' if node.monitor == 'val_loss' else 'greater')
    assert cfg.default_hooks.checkpoint.save_best in metrics
    for scheduler in schedulers:  # mmengine ends it with the training; a warm-up takes one epoch
        assert scheduler.by_epoch
        assert scheduler.get('end') == (1 if scheduler.type == 'LinearLR' else None)
        assert not {'T_max', 'total_steps'} & set(scheduler)


@pytest.mark.parametrize('name', CONFIGS)
def test_numbers_in_the_name_are_those_of_the_content(name):
    cfg, said = load(name), named(name)
    size = int(said['height']), int(said['width'])
    assert tuple(cfg.model.data_preprocessor.size) == size
    resizes = [t for p in pipelines(cfg) for t in transforms(p) if 'Resize' in t.type]
    assert len(resizes) == 4
    assert {tuple(resize.scale) for resize in resizes} == {size[::-1]}
    assert cfg.train_cfg.max_epochs == int(said['epochs'])
    assert cfg.train_dataloader.batch_size == int(said['batch'])
    assert said['gpus'] == '1'
    if int(said['epochs']) == 300:
        assert cfg.auto_scale_lr == dict(enable=False, base_batch_size=int(said['batch']))
    # BatchNorm sees no batch of one image
    assert cfg.train_dataloader.drop_last


@pytest.mark.parametrize('name', CONFIGS)
def test_stage_and_preset_choose_pipelines_and_scores(name):
    cfg, said = load(name), named(name)
    stage1, official = bool(said['stage1']), said['preset'] == 'official'
    train = ('official_' if official else '') + ('stage1_' if stage1 else '') + 'train_pipeline'
    for loader, expected in (('train', train), ('val', 'test_pipeline'), ('test', 'test_pipeline')):
        assert cfg[f'{loader}_dataloader'].dataset.pipeline == cfg[expected], loader
    policies = [e[0].get('empty_policy', 'strict') for e in (cfg.val_evaluator, cfg.test_evaluator)]
    assert policies == ['official' if official else 'strict'] * 2
    rotation = next(t for t in cfg.train_dataloader.dataset.pipeline if 'Rotate' in t.type)
    averaged = any(hook['type'] == 'EMAHook' for hook in cfg.get('custom_hooks', ()))
    widest = (0.5, 45) if averaged else (0.3, 35)
    assert (rotation.prob, rotation.degree) == ((0.5, 90) if stage1 else widest)
    assert (cfg.model.type == 'ConsistencyReinforcement') == (
        stage1 or said['method'] == 'condseg-one-stage'
    )
    if stage1:
        assert cfg.model.decode_head.type == 'EncoderFusionHead'
        assert cfg.model.get('neck') is None
        assert cfg.model.get('auxiliary_head') is None


STAGE2 = [n for n in CONFIGS if (load(n).model.backbone.get('init_cfg') or {}).get('prefix')]


def test_which_configs_start_from_stage_1():
    r50 = [n for n in CONFIGS if re.match(r'condseg/condseg_r50_', n)]
    windows = [n for n in CONFIGS if re.match(r'ablations/condseg-k\d_', n)]
    assert sorted([*r50, *windows]) == STAGE2
    for name in set(CONFIGS) - set(STAGE2):  # all others name a file of weights, or none
        init = load(name).model.backbone.get('init_cfg')
        assert not init or init.checkpoint.startswith('https://')


@pytest.mark.parametrize('name', STAGE2)
def test_stage_2_starts_from_the_stage_1_of_its_data_set_and_preset(name):
    cfg, said = load(name), named(name)
    init = cfg.model.backbone.init_cfg
    assert (init.type, init.prefix) == ('StrictPretrained', 'backbone.')
    folder, _, stem = init.checkpoint.partition('/')
    assert folder == 'work_dirs'
    first, before = load(STEMS[stem]), named(STEMS[stem])
    assert before['stage1']
    for key in ('encoder', 'preset'):
        assert before[key] == said[key], key
    assert before['data'] == said['data'].partition('-to-')[0]

    def encoder(config):
        return {k: v for k, v in config.model.backbone.items() if k != 'init_cfg'}

    assert encoder(first) == encoder(cfg)
    for key in ('mean', 'std', 'bgr_to_rgb'):  # it must see what it was trained on
        assert first.model.data_preprocessor[key] == cfg.model.data_preprocessor[key], key
    # mmengine's loop saves the best of it where StrictPretrained looks
    assert first.default_hooks.checkpoint.save_best == 'image/mIoU'
    assert init.get('buffers', True) == (said['preset'] != 'official')


def literals(node, path=()):
    """Paths and values of the literal keyword arguments of nested ``dict(...)`` calls."""
    keywords = {k.arg: k.value for k in node.keywords}
    if '_delete_' in keywords:
        return
    for key, value in keywords.items():
        if isinstance(value, ast.Call) and getattr(value.func, 'id', '') == 'dict':
            yield from literals(value, (*path, key))
        elif key is not None:
            try:
                yield (*path, key), ast.literal_eval(value)
            except ValueError:  # a name: the base's value, or computed
                continue


@pytest.mark.parametrize('name', CONFIGS)
def test_no_leaf_repeats_a_value_of_its_base(name):
    path = ROOT / 'configs' / name
    tree = ast.parse(path.read_text())
    assigned = {
        target.id: node.value
        for node in tree.body if isinstance(node, ast.Assign)
        for target in node.targets if isinstance(target, ast.Name)
    }  # fmt: skip
    bases = ast.literal_eval(assigned.pop('_base_'))
    base = ConfigDict()
    for file in [bases] if isinstance(bases, str) else bases:
        base.update(Config.fromfile(path.parent / file)._cfg_dict)
    repeated = []
    for key, node in assigned.items():
        if not isinstance(node, ast.Call) or getattr(node.func, 'id', '') != 'dict':
            continue
        for steps, value in literals(node, (key,)):
            old = base
            for step in steps:
                old = old.get(step, ast) if isinstance(old, dict) else ast
            if old == value and type(old) is type(value):
                repeated.append('.'.join(steps))
    assert repeated == []
