"""The shipped configs, as several test files need them."""

import functools
import json
import re

from helpers import ROOT
from mmengine.config import Config
from mmengine.registry import init_default_scope

CONFIGS = sorted(
    path.relative_to(ROOT / 'configs').as_posix()
    for path in (ROOT / 'configs').rglob('*.py')
    if '_base_' not in path.parts
)
STAGE1 = 'condseg-stage1_r50_1xb8-300e_kvasir-seg-256x256.py'
STAGE2 = 'condseg_r50_1xb12-300e_kvasir-seg-256x256.py'
STEMS = {name.rpartition('/')[2].removesuffix('.py'): name for name in CONFIGS}
STEM = re.compile(
    r'(?P<method>[a-z0-9-]+?)(?P<stage1>-stage1)?_(?P<encoder>[a-z0-9]+)'
    r'(_(?P<preset>official|paper))?_(?P<gpus>\d+)xb(?P<batch>\d+)-(?P<epochs>\d+)e'
    r'_(?P<data>[a-z0-9-]+)-(?P<height>\d+)x(?P<width>\d+)'
)


@functools.cache
def load(name):
    """A config; do not change it."""
    return Config.fromfile(ROOT / 'configs' / name)


def named(name):
    """What the file name says."""
    return STEM.fullmatch(name.rpartition('/')[2].removesuffix('.py')).groupdict()


@functools.cache
def network(name):
    """What two configs share that need to be run once."""
    model = load(name).model.to_dict()
    model['backbone'].pop('init_cfg', None)
    model['data_preprocessor'].pop('size')
    return json.dumps(model, sort_keys=True)


NETWORKS = sorted({network(name): name for name in reversed(CONFIGS)}.values())


def default(name, **options):
    """A default config with options as ``--cfg-options`` sets them (``__`` for a dot)."""
    init_default_scope('mmseg')
    cfg = Config.fromfile(ROOT / 'configs' / 'condseg' / name)
    cfg.merge_from_dict({key.replace('__', '.'): value for key, value in options.items()})
    return cfg
