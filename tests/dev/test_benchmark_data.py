"""benchmark.py data: what is counted, what `needed` means, and a whole run at a tiny size."""

import argparse
import json
import sys

import numpy as np
import pytest
from helpers import ROOT, blob
from PIL import Image

DEMO = str(ROOT / 'configs' / 'condseg' / 'condseg_r18_1xb8-4e_demo-96x96.py')


@pytest.fixture(scope='module')
def data():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / 'tools' / 'analysis_tools')
        from _benchmark import data

        yield data
        for name in [n for n in sys.modules if n.split('.')[0] == '_benchmark']:
            del sys.modules[name]


@pytest.fixture
def folder(tmp_path):
    """Eighteen images as the demo data has them, 8 a batch."""
    generator = np.random.default_rng(0)
    for kind in ('images', 'masks'):
        (tmp_path / kind).mkdir()
    for i in range(18):
        mask = blob(96, 96)
        image = generator.integers(0, 256, (96, 96, 3), dtype=np.uint8)
        Image.fromarray(image).save(tmp_path / 'images' / f'n{i:02}.png')
        Image.fromarray(mask).save(tmp_path / 'masks' / f'n{i:02}.png')
    names = [f'n{i:02}\n' for i in range(18)]
    (tmp_path / 'train.txt').write_text(''.join(names[:17]))
    (tmp_path / 'val.txt').write_text(names[17])
    return tmp_path


def arguments(data, *given):
    parser = argparse.ArgumentParser()
    data.add_arguments(parser)
    return parser.parse_args(list(map(str, given)))


def test_defaults(data):
    args = arguments(data)
    assert args.config.is_file()
    assert args.config.name == 'condseg_r50_1xb12-300e_kvasir-seg-256x256.py'
    assert args.workers == [0, 2]


def test_needed_is_the_speed_at_which_training_waits_for_five_percent(data):
    """95 images/s: 12 of them take 126.3 ms; a step of 120 ms (100 images/s) waits for 6.3."""
    speed = data.needed(95.0)
    assert speed == pytest.approx(100)
    step, delivery = 12 / speed, 12 / 95.0
    assert (delivery - step) / delivery == pytest.approx(0.05)


def test_only_the_deterministic_head_is_cached(data, folder):
    cfg = data._config(arguments(data, '--config', DEMO, '--data-root', folder))
    before = cfg.train_dataloader.to_dict()
    loader = data.with_cache(cfg)
    assert cfg.train_dataloader.to_dict() == before
    cached, *rest = loader['dataset']['pipeline']
    assert cached['type'] == 'CacheTransforms'
    inside = [step['type'] for step in cached['transforms']]
    assert inside == ['LoadImageFromFile', 'LoadAnnotations', 'BinarizeMask', 'ResizeWithMask']
    assert [step['type'] for step in rest] == [
        'RandomRotate', 'RandomFlip', 'RandomFlip', 'PackSegInputs',
    ]  # fmt: skip


def test_seconds_go_to_the_transform_that_takes_them(data, monkeypatch):
    now = 0.0

    def lasting(seconds):
        def step(results):
            nonlocal now
            now += seconds
            return results

        return step

    class Dataset:
        pipeline = argparse.Namespace(transforms=[lasting(0), lasting(0.5), lasting(0.25)])
        get_data_info = staticmethod(lasting(0.125))

        def __len__(self):
            return 4

    monkeypatch.setattr(data.time, 'perf_counter', lambda: now)
    spent, seconds = data._steps(Dataset())
    assert spent == [0, 500, 250]  # ms an image
    assert seconds == 4 * 0.875


def test_speed_counts_images_of_whole_batches(data, folder, monkeypatch):
    cfg = data._config(arguments(data, '--config', DEMO, '--data-root', folder))
    clock = iter(range(100))
    monkeypatch.setattr(data.time, 'perf_counter', lambda: 2.0 * next(clock))
    row = data.loader_speed(cfg, 0, False, 3)
    assert row['epochs'] == [8.0] * 3  # 2 batches of 8 in 2 s; the 17th image is dropped
    assert row['first'] == row['later'] == 8.0
    assert row['needed'] == pytest.approx(8 / 0.95)


@pytest.mark.slow
def test_a_whole_run(data, folder):
    """The figures are of this machine; what must hold on any is asserted."""
    args = arguments(
        *(data, '--config', DEMO, '--data-root', folder, '--workers', 0, '--epochs', 2),
        *('--iterations', 2, '--skip', 1),
    )
    record = data.run(args)
    assert json.loads(json.dumps(record)) == record
    assert (record['images'], record['batch']) == (17, 8)
    process = record['process']
    names = [step['name'] for step in process['steps']]
    assert names[0] == 'LoadImageFromFile'
    assert names[-1] == 'PackSegInputs'
    spent = sum(step['later'] for step in process['steps'])
    assert spent <= 1e3 / process['images_per_second'] <= 2 * spent + 5
    assert process['cached_images_per_second'] > process['images_per_second']
    assert process['cache_mib'] == pytest.approx(17 * 96 * 96 * 4 / 2**20, rel=0.02)
    assert [(row['workers'], row['cached']) for row in record['loaders']] == [
        (0, False), (0, True),
    ]  # fmt: skip
    assert all(len(row['epochs']) == 2 for row in record['loaders'])
    training = record['training']
    assert training['iterations'] == 2
    assert 0 < training['data_seconds'] < training['seconds']
    assert 0 < training['share'] < 1
    assert training['images_per_second'] == pytest.approx(8 / training['seconds'], rel=0.5)

    text = data.table(record)
    assert f'{process["images_per_second"]:.0f} images/s' in text
    assert '| LoadAnnotations |' in text
    for row in record['loaders']:
        cells = ' | '.join(f'{row[key]:.0f}' for key in ('first', 'later', 'needed'))
        assert f'| 0 | {"yes" if row["cached"] else "no"} | {cells} |' in text
    assert f'{training["share"]:.2%} of the time' in text
    assert 'Training (' not in data.table(record | dict(training=None))


def test_the_wait_is_the_share_of_all_time(data, folder, monkeypatch):
    """Steps that are told to wait: the share is read from what mmengine logs, after the skip."""
    cfg = data._config(arguments(data, '--config', DEMO, '--data-root', folder))

    class History:
        def __init__(self, values):
            self.data = (np.array(values), None)

    class Fake:
        def __init__(self, **given):
            self.given = given
            self.message_hub = argparse.Namespace(
                get_scalar={
                    'train/time': History([9.0, 2.0, 4.0]),
                    'train/data_time': History([8.0, 0.5, 1.0]),
                }.get
            )
            seen.append(given)

        def train(self):
            pass

    seen = []
    monkeypatch.setattr(data, 'Runner', Fake)
    wait = data.training_wait(cfg, workers=2, iterations=2, skip=1)
    assert wait['share'] == pytest.approx(1.5 / 6)
    assert (wait['seconds'], wait['data_seconds']) == (3.0, 0.75)
    assert wait['images_per_second'] == pytest.approx(8 * 2 / 6)
    loader = seen[0]['train_dataloader']
    assert (loader.num_workers, loader.persistent_workers) == (2, True)
    # 17 images are two batches: three steps take two epochs
    assert loader.num_batch_per_epoch == 2
    assert seen[0]['train_cfg']['max_epochs'] == 2
    assert 'num_batch_per_epoch' not in cfg.train_dataloader


def test_no_weights_are_read(data):
    model = dict(backbone=dict(init_cfg=dict(checkpoint='a')), heads=[dict(init_cfg='b', x=1)])
    assert data._without_weights(model) == dict(
        backbone=dict(init_cfg=None), heads=[dict(init_cfg=None, x=1)]
    )


@pytest.mark.parametrize(
    ('given', 'message'),
    [
        (['--config', 'absent.py'], r'--config absent\.py does not exist'),
        (['--data-root', 'absent'], r'--data-root absent is no folder'),
        (['--config', str(ROOT / 'configs/_base_/default_runtime.py')], 'no train_dataloader'),
        (['--images', 3], 'images must be 8 or more, one batch, got 3'),
    ],
)
def test_bad_input_is_named(data, folder, given, message):
    args = arguments(data, '--config', DEMO, '--data-root', folder, *given)
    with pytest.raises(ValueError, match=message):
        data.run(args)


@pytest.mark.parametrize(
    'given', [['--workers', -1], ['--epochs', 1], ['--images', 0], ['--skip', 0]]
)
def test_bad_numbers_are_refused(data, given, capsys):
    with pytest.raises(SystemExit):
        arguments(data, *given)
    assert 'or more, got' in capsys.readouterr().err
