"""The configs of both stages, and the options that hand the encoder over."""

import shutil

import pytest
import torch
from mmengine.config import Config

from condseg_mmseg.apis._stage_config import (
    Stage,
    check_data_sets,
    check_encoders_fit,
    differences,
    hand_over_options,
)
from condseg_mmseg.apis.train_two_stages import train_two_stages
from condseg_mmseg.configs import find_config
from condseg_mmseg.utils.cfg_options import path_option, read_options
from condseg_mmseg.utils.errors import UserError

STAGE1 = find_config('condseg-stage1_r18_1xb8-3e_demo-96x96')
STAGE2 = find_config('condseg_r18_1xb8-4e_demo-96x96')
EXPERIMENT = 'condseg_r50_1xb12-300e_kvasir-seg-256x256'


@pytest.fixture
def stage2(tmp_path):
    """Makes a stage 2 with the given encoder."""

    def make(options=(), **backbone):
        path = tmp_path / 'stage2.py'
        cfg = Config(dict(model=dict(backbone=backbone), custom_imports=dict(imports=['json'])))
        cfg.dump(path)
        return Stage(2, path, list(options))

    return make


def _handed_over(stage, root):
    """What mmseg's script makes of the encoder's config."""
    options = hand_over_options(stage, root / 'stage1' / 'best.pth', root)
    cfg = stage.cfg.copy()
    cfg.merge_from_dict(read_options([*stage.options, *options]))
    return cfg.model.backbone.to_dict()


STRICT = dict(
    type='mmseg.StrictPretrained', checkpoint='stage1/best.pth', prefix='backbone.'
)  # fmt: skip


@pytest.mark.parametrize(
    'init_cfg',
    [
        ...,
        None,
        dict(type='Pretrained', checkpoint='https://a.b/c.pth', map_location='cpu'),
        dict(type='Kaiming', layer='Conv2d'),
        [dict(type='Kaiming', layer='Conv2d'), dict(type='Constant', layer='BatchNorm2d', val=1)],
    ],
)
def test_the_encoder_starts_from_the_checkpoint_whatever_the_config_says(
    stage2, tmp_path, init_cfg
):
    given = {} if init_cfg is ... else dict(init_cfg=init_cfg)
    assert _handed_over(stage2(depth=18, **given), tmp_path) == dict(depth=18, init_cfg=STRICT)


def test_switches_of_the_hand_over_stay(stage2, tmp_path):
    """The preset 'official' loses the statistics of BatchNorm on purpose."""
    init = dict(type='StrictPretrained', checkpoint='x', prefix='encoder.', buffers=False)
    expected = {**STRICT, 'type': 'StrictPretrained', 'buffers': False}
    assert _handed_over(stage2(init_cfg=init), tmp_path) == dict(init_cfg=expected)
    stage = stage2(['model.backbone.init_cfg.buffers=False'], init_cfg=dict(type='Pretrained'))
    assert _handed_over(stage, tmp_path) == dict(init_cfg={**STRICT, 'buffers': False})


def test_the_older_way_to_name_weights_goes(stage2, tmp_path):
    """mmseg's ResNet refuses both; EfficientNetLite's flag of this name is another matter."""
    stage = stage2(pretrained='torchvision://resnet18')
    assert _handed_over(stage, tmp_path) == dict(pretrained=None, init_cfg=STRICT)
    stage = stage2(type='EfficientNetLite', pretrained=True)
    assert _handed_over(stage, tmp_path)['pretrained'] is True


def test_an_efficientnet_starts_from_the_checkpoint_not_from_imagenet(stage2, tmp_path):
    pytest.importorskip('efficientnet_lite_pytorch', reason='needs the extra "lite"')
    from mmseg.registry import MODELS

    small = dict(type='EfficientNetLite', out_indices=(0, 1))
    trained = MODELS.build({**small, 'pretrained': False})
    for value in trained.state_dict().values():
        value.copy_(torch.rand(value.shape) + 1)
    (tmp_path / 'stage1').mkdir()
    weights = {f'backbone.{key}': value for key, value in trained.state_dict().items()}
    torch.save(dict(state_dict=weights), tmp_path / 'stage1' / 'best.pth')
    cfg = _handed_over(stage2(**small), tmp_path)
    cfg['init_cfg']['checkpoint'] = str(tmp_path / 'stage1' / 'best.pth')
    encoder = MODELS.build(cfg)
    encoder.init_weights()
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, trained.state_dict()[name]), name


@pytest.mark.parametrize('name', ['a b', 'a,b', "b'", '(a)'])
def test_paths_that_mmengine_would_change_are_refused(tmp_path, name, monkeypatch):
    with pytest.raises(UserError, match='a space, a comma, a quotation mark or a bracket'):
        path_option('key', tmp_path / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    if name in ('a b', 'a,b'):  # the others are read as they are inside a longer path
        with pytest.raises(UserError, match=f'--work-dir: {name}/stage1/x.pth: a path with a spa'):
            train_two_stages(STAGE1, STAGE2, work_dir=name)
        assert list(tmp_path.iterdir()) == []


def test_paths_are_given_from_the_working_directory(tmp_path):
    root = tmp_path / 'a b, c'
    assert path_option('k', root / 'x' / 'y.pth', root) == 'k=x/y.pth'
    assert path_option('k', tmp_path / 'y.pth', root) == f'k={tmp_path}/y.pth'


def test_encoders_that_do_not_fit_are_found_before_any_training(tmp_path):
    wide, work = ['model.backbone.base_channels=16'], tmp_path / 'work'
    with pytest.raises(UserError, match='does not fit') as error:
        train_two_stages(STAGE1, STAGE2, work_dir=work, stage1_options=wide)
    line = 'layer1.0.conv1.weight: (16, 32, 3, 3) in stage 1, (32, 32, 3, 3) in stage 2'
    assert line in str(error.value)
    assert not work.exists()
    deeper = Stage(1, STAGE1, ['model.backbone.depth=34'])
    with pytest.raises(UserError, match=r'layer1\.2\.conv1\.weight: .* in stage 1, missing in'):
        check_encoders_fit(deeper, Stage(2, STAGE2))
    tolerant = tmp_path / 'stage2.py'
    tolerant.write_text(
        f"_base_ = '{STAGE2}'\n"
        "init_cfg = dict(_delete_=True, type='StrictPretrained', allow_unexpected=True)\n"
        'model = dict(backbone=dict(init_cfg=init_cfg))\n'
    )
    check_encoders_fit(deeper, Stage(2, tolerant))
    with pytest.raises(UserError, match='depth 17'):
        check_encoders_fit(Stage(1, STAGE1, ['model.backbone.depth=17']), Stage(2, STAGE2))


@pytest.mark.parametrize(
    ('number', 'option', 'message'),
    [
        (2, 'model.backbone.init_cfg=None', r'this command sets model\.backbone\.init_cfg'),
        (2, 'load_from=a.pth', 'this command sets load_from'),
        (1, 'work_dir=x', 'this command sets work_dir'),
        (1, 'default_hooks.checkpoint.out_dir=x', 'elsewhere than --work-dir'),
        (1, 'model.backbone=None', r'has no model\.backbone'),
        (1, 'custom_imports.imports=[]', 'add custom_imports'),
        (2, 'custom_imports.imports=[]', 'add custom_imports'),
    ],
)
def test_settings_that_cannot_work_are_refused(number, option, message):
    with pytest.raises(UserError, match=message):
        Stage(number, (STAGE1, STAGE2)[number - 1], [option]).check()


def test_a_stage_one_may_start_from_any_weights():
    stage = Stage(1, STAGE1, ['model.backbone.init_cfg=None', 'load_from=a.pth'])
    assert stage.check() is None
    assert stage.cfg.load_from == 'a.pth'
    init = [
        'model.backbone.init_cfg._delete_=True',
        'model.backbone.init_cfg.type=StrictPretrained',
    ]
    assert Stage(1, STAGE1, init).check() is None  # it is a stage 1 all the same


def test_swapped_configs_are_refused(tmp_path):
    work, order = tmp_path / 'work', 'The order is STAGE1_CONFIG STAGE2_CONFIG'
    with pytest.raises(UserError, match=rf'{EXPERIMENT}\.py: its encoder starts .*{order}'):
        train_two_stages(EXPERIMENT, STAGE1, work_dir=work)
    # the demo's stage 2 starts from nothing: then the other one tells
    with pytest.raises(UserError, match=rf'{STAGE1}: its model is that of stage 1 .*{order}'):
        train_two_stages(STAGE2, STAGE1, work_dir=work)
    assert not work.exists()
    # a stage 2 of that type, with another head, is one
    Stage(2, STAGE1, ['model.decode_head.type=FCNHead']).check()
    both = "init_cfg = [dict(type='Kaiming', layer='Conv2d'), dict(type='mmseg.StrictPretrained')]"
    path = tmp_path / 'listed.py'
    path.write_text(f'{both}\nmodel = dict(backbone=dict(init_cfg=init_cfg))\n')
    with pytest.raises(UserError, match=r"Is this stage 2's\?"):
        Stage(1, path).check()


def _data_config(tmp_path, **dataset):
    """A stage 1 with one image, or what the arguments change."""
    import cv2
    import numpy as np

    for name in ('images', 'masks'):
        (tmp_path / 'data' / name).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / 'data' / name / 'a.png'), np.eye(8, dtype=np.uint8) * 255)
    data = dict(type='BinaryMedicalDataset', data_root=str(tmp_path / 'data'), pipeline=[])
    cfg = dict(
        model=dict(backbone=dict()),
        train_dataloader=dict(dataset=data | dataset),
        val_dataloader=dict(dataset=data),
    )
    Config(cfg).dump(tmp_path / 'one.py')
    return tmp_path / 'one.py'


@pytest.mark.parametrize(
    ('dataset', 'message'),
    [
        (dict(data_root='/absent'), 'absent/images'),
        (dict(data_root='/absent', lazy_init=True), 'absent/images'),
        (dict(pipeline=[dict(type='NoSuchTransform')]), 'NoSuchTransform'),
        (dict(indices=0), 'is empty: look at its data_root'),
        (dict(indices=0, serialize_data=False), 'is empty: look at its data_root'),
    ],
)
def test_data_that_cannot_be_trained_on_is_named(tmp_path, dataset, message):
    stage = Stage(1, _data_config(tmp_path, **dataset))
    with pytest.raises(UserError, match=r'stage 1, .*one\.py: train_dataloader\.dataset .*') as e:
        check_data_sets(stage)
    assert message in str(e.value)


def test_the_files_of_the_data_are_read_with_the_options(tmp_path):
    path = _data_config(tmp_path)
    stage = Stage(1, path)
    before = stage.settings
    check_data_sets(stage)
    assert stage.settings == before
    with pytest.raises(UserError, match=r'val_dataloader\.dataset (.|\n)*list: .*none\.txt'):
        check_data_sets(Stage(1, path, ['val_dataloader.dataset.ann_file=none.txt']))
    (tmp_path / 'data' / 'masks' / 'a.png').write_bytes(b'')
    with pytest.raises(UserError, match=r'train_dataloader\.dataset (.|\n)*a\.png'):
        check_data_sets(stage)


@pytest.mark.parametrize(('processes', 'most'), [(1, 5), (2, 3), (4, 2)])
def test_fewer_images_than_a_batch_of_each_process_are_named(tmp_path, processes, most):
    """Five images, which processes share rounded up."""
    path = _data_config(tmp_path)
    for name in ('images', 'masks'):
        folder = tmp_path / 'data' / name
        for copy in 'bcde':
            shutil.copy(folder / 'a.png', folder / f'{copy}.png')
    loader = 'train_dataloader'
    sampler = f'{loader}.sampler.type=DefaultSampler'
    for drop_last, batch in ((True, most), (False, most + 1)):
        options = [sampler, f'{loader}.drop_last={drop_last}', f'{loader}.batch_size={batch}']
        check_data_sets(Stage(1, path, options), processes)
    options = [sampler, f'{loader}.drop_last=True', f'{loader}.batch_size={most + 1}']
    with pytest.raises(UserError, match=r'one\.py: train_dataloader\.dataset: ') as error:
        check_data_sets(Stage(1, path, options), processes)
    assert f'5 training images make no batch of {most + 1} per process with {processes} ' in str(
        error.value
    )
    options[0] = f'{loader}.sampler.type=InfiniteSampler'
    check_data_sets(Stage(1, path, options), processes)


def test_a_config_that_loads_over_the_encoder_is_refused(tmp_path):
    path = tmp_path / 'stage2.py'
    path.write_text(f"_base_ = '{STAGE2}'\nload_from = 'a.pth'\n")
    with pytest.raises(UserError, match=r'load_from=a\.pth would write over the encoder'):
        Stage(2, path).check()


def test_unreadable_input_is_named():
    with pytest.raises(UserError, match=r'^absent\.py is neither a file nor a shipped config'):
        train_two_stages('absent.py', STAGE2)
    with pytest.raises(UserError, match="'max_epochs' is no option: write KEY=VALUE"):
        train_two_stages(STAGE1, STAGE2, stage2_options=['max_epochs'])
    with pytest.raises(UserError, match='--gpus must be >= 1, got 0'):
        train_two_stages(STAGE1, STAGE2, gpus=0)
    with pytest.raises(UserError, match="--hand-over must be 'best' or 'last', got 'first'"):
        train_two_stages(STAGE1, STAGE2, hand_over='first')


def test_differences_name_keys_and_values():
    then = dict(train_cfg=dict(max_epochs=2, by=1), pipeline=[dict(type='A'), dict(p=1)], old=[])
    now = dict(train_cfg=dict(max_epochs=4, by=1), pipeline=[dict(type='A'), dict(p=2)], new=None)
    assert differences(then, then) == []
    assert differences(then, now) == [
        'train_cfg.max_epochs: 2 when it was started, 4 now',
        'pipeline.1.p: 1 when it was started, 2 now',
        'old: [] when it was started, not set now',
        'new: not set when it was started, null now',
    ]
