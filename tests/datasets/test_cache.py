"""CacheTransforms: the same samples bit by bit, from memory the second time, within its bounds."""

import copy
import logging
import pickle
import random
import shutil

import numpy as np
import pytest
import torch
from helpers import ROOT, blob
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from mmseg.registry import DATASETS, TRANSFORMS
from PIL import Image

import condseg_mmseg.datasets.cache as module
from condseg_mmseg.datasets import CacheTransforms

SIZE = 32
SAMPLE_BYTES = SIZE * SIZE * 4  # image and mask, without the few bytes of the other entries
HEAD = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='BinarizeMask', mode='auto'),
    dict(type='ResizeWithMask', scale=(SIZE, SIZE), keep_ratio=False),
]
TAIL = [
    dict(type='RandomRotate', prob=0.5, degree=35, pad_val=0, seg_pad_val=255),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandomCutOut', prob=0.9, n_holes=3, cutout_ratio=(0.25, 0.25), seg_fill_in=0),
    dict(type='PackSegInputs'),
]


@pytest.fixture
def data(tmp_path):
    """Six images of different sizes and contents, with their masks."""
    generator = np.random.default_rng(0)
    for kind in ('images', 'masks'):
        (tmp_path / kind).mkdir()
    for i in range(6):
        mask = np.roll(blob(40 + i, 50 + 2 * i), 2 * i, axis=1)
        image = generator.integers(0, 256, (*mask.shape, 3), dtype=np.uint8)
        Image.fromarray(image).save(tmp_path / 'images' / f'n{i}.jpg')
        Image.fromarray(mask).save(tmp_path / 'masks' / f'n{i}.png')
    (tmp_path / 'train.txt').write_text(''.join(f'n{i}\n' for i in range(6)))
    return tmp_path


def config(data, head, tail=TAIL):
    return dict(
        type='BinaryMedicalDataset',
        data_root=str(data),
        data_prefix=dict(img_path='images', seg_map_path='masks'),
        ann_file='train.txt',
        pipeline=[*head, *tail],
    )


def dataset(data, head, tail=TAIL):
    return DATASETS.build(config(data, head, tail))


def cached(**more):
    return [dict(type='CacheTransforms', transforms=HEAD, **more)]


def epoch(samples, seed):
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - what the transforms draw from
    return [samples[i] for i in range(len(samples))]


def assert_equal(one, other):
    assert torch.equal(one['inputs'], other['inputs'])
    one, other = one['data_samples'], other['data_samples']
    assert torch.equal(one.gt_sem_seg.data, other.gt_sem_seg.data)
    assert set(one.metainfo_keys()) == set(other.metainfo_keys())
    for key in one.metainfo_keys():
        assert one.get(key) == other.get(key), key


def test_samples_are_bit_equal_and_files_are_read_once(data):
    plain, with_cache = dataset(data, HEAD), dataset(data, cached())
    expected = [epoch(plain, seed) for seed in range(4)]
    found = [epoch(with_cache, 0)]
    shutil.rmtree(data / 'images')
    shutil.rmtree(data / 'masks')
    # RandomCutOut writes into the arrays: epochs 2 and 3 would show what epoch 1 has spoilt
    found += [epoch(with_cache, seed) for seed in range(1, 4)]
    for ours, theirs in zip(found, expected, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            assert_equal(one, other)
    assert any(
        not torch.equal(expected[0][i]['inputs'], expected[1][i]['inputs']) for i in range(6)
    )
    with pytest.raises(FileNotFoundError):
        plain[0]


def test_all_entries_come_back_and_nothing_is_shared(data):
    samples = dataset(data, cached(), [])
    infos = [samples.get_data_info(0) for _ in range(3)]
    infos[2]['sample_idx'] = 41
    plain = dataset(data, HEAD, []).pipeline(samples.get_data_info(0))
    first, second, third = map(samples.pipeline, infos)
    for other in (second, third):
        assert other.keys() == plain.keys() == first.keys()
        assert other['seg_fields'] == ['gt_seg_map']
        for key in plain.keys() - {'sample_idx'}:
            assert np.array_equal(other[key], plain[key]), key
            assert type(other[key]) is type(plain[key]), key
    assert third['sample_idx'] == 41  # the caller's, not the one of the sample that was kept
    for one, other in ((first, second), (second, third)):
        assert not np.shares_memory(one['img'], other['img'])
        assert not np.shares_memory(one['gt_seg_map'], other['gt_seg_map'])
        assert one['seg_fields'] is not other['seg_fields']
    second['img'][:] = 0
    second['gt_seg_map'][:] = 9
    second['seg_fields'].append('spoilt')
    again = samples.pipeline(samples.get_data_info(0))
    assert np.array_equal(again['img'], plain['img'])
    assert np.array_equal(again['gt_seg_map'], plain['gt_seg_map'])
    assert again['seg_fields'] == ['gt_seg_map']


def test_entries_that_the_head_takes_away_stay_away(data):
    class Strip(BaseTransform):
        def transform(self, results):
            del results['seg_map_path'], results['label_map']
            return results

    cache = CacheTransforms([*HEAD, Strip()])
    samples = dataset(data, [], [])
    for _ in range(2):
        results = cache(samples.get_data_info(1))
        assert 'seg_map_path' not in results
        assert 'label_map' not in results
    assert len(cache) == 1


def test_one_image_with_two_masks_is_two_samples(data):
    cache = CacheTransforms(HEAD)
    info = dataset(data, [], []).get_data_info(0)
    inverse = 255 - np.asarray(Image.open(info['seg_map_path']))
    Image.fromarray(inverse).save(data / 'inverse.png')
    other = dict(copy.deepcopy(info), seg_map_path=str(data / 'inverse.png'))
    for _ in range(2):
        one = cache(copy.deepcopy(info))['gt_seg_map']
        assert np.array_equal(cache(copy.deepcopy(other))['gt_seg_map'], 1 - one)
    assert len(cache) == 2


@pytest.fixture
def messages():
    """What mmengine's current logger is told."""
    logger, records = MMLogger.get_current_instance(), []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: records.append(record.getMessage())
    logger.addHandler(handler)
    yield records
    logger.removeHandler(handler)


def test_max_bytes_bounds_what_is_kept_and_the_log_says_so_once(data, messages):
    limit = 2 * SAMPLE_BYTES + 2000
    samples = dataset(data, cached(max_bytes=limit))
    cache = samples.pipeline.transforms[0]
    expected = [epoch(dataset(data, HEAD), seed) for seed in range(3)]
    for seed in range(3):
        for one, other in zip(epoch(samples, seed), expected[seed], strict=True):
            assert_equal(one, other)
        assert len(cache) == 2
        assert 2 * SAMPLE_BYTES < cache.nbytes <= limit
    told = [message for message in messages if 'CacheTransforms' in message]
    assert len(told) == 1
    assert 'keeps 2 samples' in told[0]
    assert f'max_bytes={limit}' in told[0]
    (data / 'images' / 'n0.jpg').unlink()
    samples[0]  # kept
    (data / 'images' / 'n5.jpg').unlink()
    with pytest.raises(FileNotFoundError):
        samples[5]  # not kept


def test_neither_pickles_nor_copies_carry_what_is_kept(data):
    samples = dataset(data, cached())
    fresh = len(pickle.dumps(samples.pipeline.transforms[0]))
    epoch(samples, 0)
    cache = samples.pipeline.transforms[0]
    assert len(cache) == 6
    assert len(pickle.dumps(cache)) == fresh
    for other in (pickle.loads(pickle.dumps(cache)), copy.deepcopy(cache)):
        assert len(other) == other.nbytes == 0
        assert other.max_bytes == cache.max_bytes
        assert 'img' in other(samples.get_data_info(0))
        assert len(other) == 1
    assert len(cache) == 6


@pytest.mark.slow
@pytest.mark.parametrize('start', ['fork', 'spawn'])
def test_workers_read_no_file_again(data, start):
    loader = Runner.build_dataloader(
        dict(
            dataset=config(data, cached()),
            batch_size=2,
            num_workers=1,
            persistent_workers=True,
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=dict(type='pseudo_collate'),
            multiprocessing_context=start,
        ),
        seed=0,
    )
    assert sum(len(batch['inputs']) for batch in loader) == 6
    shutil.rmtree(data / 'images')
    assert sum(len(batch['inputs']) for batch in loader) == 6


def test_a_file_that_may_be_left_out_is_not_kept(data):
    cache = CacheTransforms([dict(type='LoadImageFromFile', ignore_empty=True)])
    assert cache(dict(img_path=str(data / 'absent.jpg'))) is None
    assert len(cache) == 0
    Image.fromarray(np.zeros((4, 5, 3), np.uint8)).save(data / 'absent.jpg')
    assert cache(dict(img_path=str(data / 'absent.jpg')))['img'].shape == (4, 5, 3)


class Jitter(BaseTransform):
    """Random, though neither its name nor its arguments say so."""

    @cache_randomness
    def draw(self):
        return 1

    def transform(self, results):
        return results


@pytest.mark.parametrize(
    ('transform', 'message'),
    [
        (dict(type='RandomFlip', prob=0.5), r'RandomFlip \(it is random\)'),
        (dict(type='BioMedical3DRandomCrop', crop_shape=4), r'3DRandomCrop \(it is random\)'),
        (dict(type='PhotoMetricDistortion'), r'PhotoMetricDistortion \(it is random\)'),
        (dict(type='BioMedicalGaussianNoise'), r'GaussianNoise \(it has an argument prob\)'),
        (Jitter(), r'Jitter \(its draw is random\)'),
        (
            dict(type='Compose', transforms=[dict(type='RandomFlip', prob=0.5)]),
            r'RandomFlip \(it is random\)',
        ),
    ],
)
def test_random_transforms_are_refused_with_the_reason(transform, message):
    with pytest.raises(ValueError, match=message) as caught:
        CacheTransforms([*HEAD, transform])
    assert 'the same to a sample every epoch; put it behind CacheTransforms' in str(caught.value)


@pytest.mark.parametrize('head', [[], HEAD[1:], [dict(type='LoadImageFromNDArray'), *HEAD[1:]]])
def test_the_image_loading_must_be_inside(head):
    with pytest.raises(ValueError, match='transforms must hold the image loading'):
        CacheTransforms(head)


@pytest.mark.parametrize(
    ('value', 'error'), [(0, ValueError), (-1, ValueError), (1e9, TypeError), (True, TypeError)]
)
def test_max_bytes_is_a_positive_integer(value, error):
    with pytest.raises(error, match='max_bytes must be'):
        CacheTransforms(HEAD, max_bytes=value)


def test_other_bad_input():
    with pytest.raises(TypeError, match='configs or callables, got 3'):
        CacheTransforms([*HEAD, 3])
    with pytest.raises(ValueError, match=r"tells samples apart by img_path, got only \['img'\]"):
        CacheTransforms(HEAD)(dict(img=0))
    assert len(CacheTransforms([*HEAD, lambda results: results]).transforms) == 5


def test_it_is_registered_and_off_in_the_shipped_configs():
    assert TRANSFORMS.get('CacheTransforms') is CacheTransforms
    configs = sorted((ROOT / 'configs').rglob('*.py'))
    assert configs
    assert not [path for path in configs if 'CacheTransforms' in path.read_text()]


@pytest.mark.parametrize('stage', ['condseg', 'condseg-stage1'])
def test_the_leaf_of_the_docstring(tmp_path, data, stage):
    """It is the one way that is documented, so it is run as it stands there."""
    lines = module.CacheTransforms.__doc__.split('switches it on::')[1].split('(``steps')[0]
    gpus = '1xb8' if 'stage1' in stage else '1xb12'
    base = ROOT / 'configs' / 'condseg' / f'{stage}_r50_{gpus}-300e_kvasir-seg-256x256.py'
    shown = './condseg_r50_1xb12-300e_kvasir-seg-256x256.py'
    assert shown in lines
    text = '\n'.join(line.strip() for line in lines.replace(shown, str(base)).splitlines())
    (tmp_path / 'leaf.py').write_text(text)
    cfg = Config.fromfile(tmp_path / 'leaf.py').train_dataloader.dataset
    plain = Config.fromfile(base).train_dataloader.dataset
    assert cfg.pipeline[0].type == 'CacheTransforms'
    assert [*cfg.pipeline[0].transforms, *cfg.pipeline[1:]] == plain.pipeline
    more = dict(data_root=str(data), other_ann_files=())
    one, other = (DATASETS.build({**c.to_dict(), **more}) for c in (cfg, plain))
    for seed in range(2):
        for ours, theirs in zip(epoch(one, seed), epoch(other, seed), strict=True):
            assert_equal(ours, theirs)
    assert len(one.pipeline.transforms[0]) == 6
