"""What the presets change, and that docs/method.md and docs/differences.md name it."""

import argparse
import re

import pytest
from helpers import ROOT
from mmengine.config import Config, DictAction
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope
from mmseg.registry import METRICS, MODELS, WEIGHT_INITIALIZERS

STAGE1, STAGE2 = (
    'condseg/condseg-stage1_r50{}_1xb{}-300e_kvasir-seg-256x256.py',
    'condseg/condseg_r50{}_1xb{}-300e_kvasir-seg-256x256.py',
)
DEFAULTS = {STAGE1: 8, STAGE2: 12}
# What follows from a switch, or names no choice: the batch size, the stage 1 it starts from.
NAMES = {'batch_size', 'train_dataloader.batch_size', 'auto_scale_lr.base_batch_size'}
START = {'stage1', 'model.backbone.init_cfg.checkpoint'}
OFFICIAL_SCORES = {'val_evaluator.0.empty_policy', 'test_evaluator.0.empty_policy'}
OFFICIAL_INPUT = {f'model.data_preprocessor.{key}' for key in ('mean', 'std', 'bgr_to_rgb')}


def shipped(stage, preset='', batch=None, data='kvasir-seg'):
    name = stage.format(preset and f'_{preset}', batch or DEFAULTS[stage])
    return Config.fromfile(ROOT / 'configs' / name.replace('kvasir-seg', data))


def parse(options):
    """Read options as the command line does."""
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='*', action=DictAction, default={})
    return parser.parse_args(['--cfg-options', *options] if options else []).cfg_options


def flat(node, path=''):
    """Path -> value; pipelines are one value."""
    if isinstance(node, (list, tuple)) and path.endswith('_evaluator'):
        node = dict(enumerate(node))
    if isinstance(node, dict):
        return {
            k: v for key in node for k, v in flat(node[key], f'{path}.{key}'.lstrip('.')).items()
        }
    return {path: node}


PIECES = set(flat(Config.fromfile(ROOT / 'configs/_base_/presets/official.py').to_dict()))


def changed(ours, theirs):
    ours, theirs = flat(ours.to_dict()), flat(theirs.to_dict())
    return {k for k in {*ours, *theirs} if ours.get(k, '') != theirs.get(k, '')}


def test_stage_2_official_differs_from_the_default_in_the_named_switches_only():
    switches = {
        'decode_head.loss_decode.double_sigmoid',
        'auxiliary_head.background_target',
        'auxiliary_head.loss_decode.double_sigmoid',
        'auxiliary_head.loss_decode.comp_softmax',
        'auxiliary_head.loss_decode.detach_beta',
        'auxiliary_head.loss_decode.max_beta',
        'backbone.init_cfg.buffers',
    }
    assert changed(shipped(STAGE2), shipped(STAGE2, 'official', 12)) == (
        {f'model.{key}' for key in switches} | OFFICIAL_INPUT | OFFICIAL_SCORES | START
        | {'train_dataloader.dataset.pipeline'} | PIECES
    )  # fmt: skip


def test_stage_1_official_differs_from_the_default_in_the_named_switches_only():
    switches = {
        'data_preprocessor.channel_order',
        'data_preprocessor.strong_view.same_on_batch',
        'data_preprocessor.strong_view.blur_kernel',
        'decode_head.loss_decode.double_sigmoid',
        'loss_consistency.loss_weight',
    }
    assert changed(shipped(STAGE1), shipped(STAGE1, 'official', 8)) == (
        {f'model.{key}' for key in switches} | OFFICIAL_INPUT | OFFICIAL_SCORES
        | {'train_dataloader.dataset.pipeline'} | PIECES
    )  # fmt: skip


def test_paper_differs_from_the_default_in_the_named_switches_only():
    assert changed(shipped(STAGE1), shipped(STAGE1, 'paper', 4)) == NAMES
    assert changed(shipped(STAGE2), shipped(STAGE2, 'paper', 4)) == NAMES | START | {
        'model.neck.attn_order',
        'model.auxiliary_head.loss_decode.area',
        'model.auxiliary_head.loss_decode.max_beta',
        'optim_wrapper.paramwise_cfg.custom_keys.backbone.lr_mult',
    }


@pytest.mark.parametrize('data', ['kvasir-sessile', 'glas', 'isic2016', 'isic2017'])
@pytest.mark.parametrize('stage', [STAGE1, STAGE2])
@pytest.mark.parametrize('preset', ['', 'official', 'paper'])
def test_data_sets_differ_in_their_data_only(data, stage, preset):
    batch = 4 if preset == 'paper' else None
    keys = changed(shipped(stage, preset, batch), shipped(stage, preset, batch, data)) - START
    pattern = r'data_root|(train|val|test)_dataloader\.dataset\.(data_root|(other_)?ann_files?)'
    assert [k for k in keys if not re.fullmatch(pattern, k)] == []


METHOD = (ROOT / 'docs' / 'method.md').read_text()
DOCUMENT = (ROOT / 'docs' / 'differences.md').read_text()
TABLE = [
    [cell.strip() for cell in line.strip('|').split('|')]
    for line in METHOD.splitlines()
    if line.count('|') == 6 and not line.startswith(('|---', '| | '))
]
OPTION = re.compile(r'`((?:[a-z_0-9]+\.)+[a-z_0-9]+=[^`]+)`')


def test_the_table_of_differences_has_every_row():
    assert [row[0][0] for row in TABLE if row[0][1] == '.'] == list('abcdefghij')
    assert len(TABLE) == 19


@pytest.mark.parametrize('row', TABLE, ids=[row[0] for row in TABLE])
def test_options_in_the_document_are_options(row):
    init_default_scope('mmseg')
    if row[0].startswith('strong view'):
        pytest.importorskip('kornia', reason='needs the extra "consistency"')
    stage = STAGE1 if re.search(r'strong_view|channel_order|loss_consistency', row[-1]) else STAGE2
    data = 'kvasir-sessile' if row[0].startswith('j.') else 'kvasir-seg'  # has a test list
    options = [x for text in OPTION.findall(row[-1]) for x in text.split()]
    assert options or 'pipeline' in row[-1] or row[-1] == '-'
    cfg = shipped(stage, data=data)
    cfg.merge_from_dict(parse(options))
    keys = [option.partition('=')[0] for option in options]
    named = {re.sub(r'\.pipeline\..*', '.pipeline', key) for key in keys}
    assert changed(shipped(stage, data=data), cfg) == named
    for part in {key.split('.')[1] for key in keys if key.startswith('model.')}:
        MODELS.build(cfg.model[part])  # takes the argument
    WEIGHT_INITIALIZERS.build(cfg.model.backbone.init_cfg)
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        Compose(loader.dataset.pipeline)
    for metric in (*cfg.val_evaluator, *cfg.test_evaluator):
        METRICS.build(metric)


def test_configs_in_the_document_load(tmp_path):
    init_default_scope('mmseg')
    blocks = re.findall(r'```python\n(.*?)```', DOCUMENT, re.DOTALL)
    assert len(blocks) == 2
    found = []
    for block in blocks:
        path = tmp_path / 'leaf.py'
        text = block.replace("'./", f"'{ROOT}/configs/condseg/")
        path.write_text(text.replace("'../", f"'{ROOT}/configs/"))
        cfg = Config.fromfile(path)
        Compose(cfg.train_dataloader.dataset.pipeline)
        found.append([t.type for t in cfg.train_dataloader.dataset.pipeline])
        assert changed(shipped(STAGE2), cfg) - {'meta_keys'} - PIECES <= {
            'train_dataloader.dataset.pipeline', 'model.auxiliary_head.background_target'
        }  # fmt: skip
    assert found[0].index('KeepBackgroundMask') == found[0].index('ResizeWithMask') + 1
    official = shipped(STAGE2, 'official').train_dataloader.dataset.pipeline
    assert found[1] == [t.type for t in official]


@pytest.mark.parametrize('data', ['kvasir-sessile', 'isic2017'])
@pytest.mark.parametrize('stem', ['condseg_r50_official_1xb12', 'condseg-stage1_r50_official_1xb8'])
def test_official_reports_the_list_that_picks_the_checkpoint(data, stem):
    config = Config.fromfile(ROOT / 'configs' / 'condseg' / f'{stem}-300e_{data}-256x256.py')
    assert config.test_dataloader.dataset.ann_file == 'val.txt'
    assert config.test_dataloader.dataset.pipeline == config.val_dataloader.dataset.pipeline
    ours = Config.fromfile(ROOT / 'configs/condseg' / f'condseg_r50_1xb12-300e_{data}-256x256.py')
    assert ours.test_dataloader.dataset.ann_file == 'test.txt'
