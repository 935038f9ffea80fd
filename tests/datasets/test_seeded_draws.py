"""What a sample draws depends on seed, pass over the data and index alone."""

import pickle
import random

import numpy as np
import pytest
import torch
from helpers import blob
from mmengine.dataset import ConcatDataset, DefaultSampler, InfiniteSampler, RepeatDataset
from mmengine.runner import Runner
from mmseg.datasets import BaseSegDataset
from PIL import Image
from shipped_configs import STAGE2, default

from condseg_mmseg.datasets import (
    BinaryMedicalDataset,
    SampleIndex,
    SeededInfiniteSampler,
    SeededSampler,
)

COUNT = 6


class Noise:
    """A transform that draws from the three generators, and gives up as often as it is told."""

    def __init__(self, failures=0):
        self.failures = failures

    def __call__(self, results):
        if self.failures:
            self.failures -= 1
            return None
        return draws()


def draws():
    return random.random(), np.random.rand(), torch.rand(()).item()  # noqa: NPY002


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp('data')
    for name in ('images', 'masks'):
        (root / name).mkdir()
    for i in range(COUNT):
        image = np.random.default_rng(i).integers(0, 256, (37, 53, 3), np.uint8)
        Image.fromarray(image).save(root / f'images/{i}.png')
        Image.fromarray(blob()).save(root / f'masks/{i}.png')
    (root / 'train.txt').write_text('\n'.join(map(str, range(COUNT))))
    return root


def loader(folder, seed=0, workers=0, kind='SeededSampler', dataset=None):
    """The training loader of a shipped config, with these data."""
    cfg = default(STAGE2).train_dataloader
    assert cfg.sampler.type == 'SeededSampler'
    assert cfg.num_workers == 2
    cfg.sampler.type = kind
    cfg.update(num_workers=workers, persistent_workers=workers > 0, batch_size=2, drop_last=False)
    cfg.dataset.update(data_root=str(folder), other_ann_files=())
    return Runner.build_dataloader(cfg, seed=seed)


def samples(loader, epoch):
    """Image, mask and draw of each file of one pass, as bytes."""
    loader.sampler.set_epoch(epoch)
    found = {}
    for batch in loader:
        for image, sample in zip(batch['inputs'], batch['data_samples'], strict=True):
            mask = sample.gt_sem_seg.data
            found[sample.img_path] = (image.numpy().tobytes(), mask.numpy().tobytes(), sample.draw)
    return found


def test_workers_and_processes_change_nothing_and_passes_and_seeds_do(folder, monkeypatch):
    here, workers = loader(folder), loader(folder, workers=2)
    first, second = samples(here, 0), samples(here, 1)
    assert list(samples(workers, 0).items()) == list(first.items())
    assert list(samples(workers, 1).items()) == list(second.items())  # the same workers go on
    assert list(samples(loader(folder), 1).items()) == list(second.items())  # begun in epoch 1
    for other in (second, samples(loader(folder, seed=1), 0)):
        assert sum(first[name][0] != other[name][0] for name in first) >= COUNT // 2
    ranks = {}
    for rank in (0, 1):
        monkeypatch.setattr('mmengine.dataset.sampler.get_dist_info', lambda rank=rank: (rank, 2))
        mine = samples(loader(folder), 0)
        assert len(mine) == COUNT // 2
        ranks |= mine
    assert ranks == first


def test_the_numbers_of_one_seed_pass_and_index():
    data = dataset()
    expected = (0.5218930625, 0.1455858342, 0.7233274579)
    assert data[SampleIndex(2, (0, 1, 2))] == pytest.approx(expected, abs=1e-8)
    seen = {data[SampleIndex(i, (s, p, i))] for s in (0, 1) for p in (0, 1) for i in (0, 1)}
    assert len(seen) == 8
    assert len({number for numbers in seen for number in numbers}) == 24


def dataset(failures=0, count=4):
    """Our data set without files."""
    data = BinaryMedicalDataset.__new__(BinaryMedicalDataset)
    data.data_list, data.serialize_data, data._fully_initialized = [{} for _ in range(count)], 0, 1
    data.test_mode, data.max_refetch, data._metainfo = False, 10, {}
    data.check_files = False
    data.pipeline = Noise(failures)
    return data


def test_the_states_are_put_back_and_a_plain_index_draws_from_them():
    data = dataset()
    first = draws()
    second = draws()
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)
    assert draws() == first
    inside = data[SampleIndex(0, (0, 0, 0))]
    assert data[0] == second
    assert data[SampleIndex(0, (0, 0, 0))] == inside
    assert data[0] not in (inside, second)


def test_the_sample_that_replaces_a_missing_one_is_drawn_too():
    index = SampleIndex(1, (0, 0, 1))
    assert dataset(failures=2)[index] == dataset(failures=2)[index] != dataset()[index]


def test_an_index_goes_to_a_worker_and_through_the_wrappers_of_mmengine():
    index = pickle.loads(pickle.dumps(SampleIndex(5, (3, 1, 5))))
    assert (index, index.draw, str(index)) == (5, (3, 1, 5), '5')
    expected = dataset()[SampleIndex(1, (3, 1, 5))]
    repeated = RepeatDataset(dataset(), 2)
    joined = ConcatDataset([dataset(), dataset()])
    for wrapper in (repeated, joined):
        assert wrapper[index] == expected
        assert wrapper[1] != expected


@pytest.mark.parametrize('rank', [0, 1])
def test_the_order_is_mmengines(rank, monkeypatch):
    monkeypatch.setattr('mmengine.dataset.sampler.get_dist_info', lambda: (rank, 2))
    data = list(range(5))
    ours, theirs = SeededSampler(data, seed=3), DefaultSampler(data, seed=3)
    for epoch in (0, 1):
        ours.set_epoch(epoch)
        theirs.set_epoch(epoch)
        assert list(ours) == list(theirs)
        assert [i.draw for i in ours] == [(3, epoch, i) for i in theirs]
    endless, plain = SeededInfiniteSampler(data, seed=3), InfiniteSampler(data, seed=3)
    begin, expected = take(endless, 10), take(plain, 10)
    assert begin == expected
    assert [i.draw for i in begin] == [(3, (2 * n + rank) // 5, i) for n, i in enumerate(expected)]
    if hasattr(endless, 'skip'):  # not upstream
        endless.skip(4)
        assert [i.draw for i in take(endless, 6)] == [i.draw for i in begin[4:]]


def take(sampler, count):
    iterator = iter(sampler)
    return [next(iterator) for _ in range(count)]


def test_a_data_set_of_mmseg_takes_the_sampler(folder):
    cfg = default(STAGE2).train_dataloader
    pipeline = [step for step in cfg.dataset.pipeline if step['type'] != 'LoadBinaryMask']
    pipeline.insert(1, dict(type='LoadAnnotations'))
    pipeline = [step for step in pipeline if step['type'] != 'ResizeWithMask']
    data = BaseSegDataset(
        data_root=str(folder), data_prefix=dict(img_path='images', seg_map_path='masks'),
        img_suffix='.png', pipeline=pipeline, metainfo=dict(classes=('a', 'b')),
    )  # fmt: skip
    taken = [data[i] for i in SeededSampler(data, seed=0)]
    assert len({sample['data_samples'].img_path for sample in taken}) == COUNT
