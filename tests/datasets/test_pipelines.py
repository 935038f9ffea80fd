"""The pipelines of the Kvasir-SEG configs, whole."""

import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers import blob, mask_sample
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.structures import PixelData
from mmseg.registry import DATASETS, METRICS, TRANSFORMS
from PIL import Image

import condseg_mmseg  # noqa: F401

CONFIGS = ('kvasir_seg', 'kvasir_seg_160x160')


@pytest.fixture
def kvasir_like(tmp_path: Path) -> Path:
    """Two images whose pixels equal their masks, as 3-channel JPEG."""
    for i, (height, width) in enumerate(((96, 120), (131, 77))):
        mask = np.repeat(blob(height, width)[..., None], 3, axis=2)
        for kind in ('images', 'masks'):
            (tmp_path / kind).mkdir(exist_ok=True)
            Image.fromarray(mask).save(tmp_path / kind / f'n{i}.jpg', quality=95)
    (tmp_path / 'train.txt').write_text('n0\nn1\n')
    (tmp_path / 'val.txt').write_text('n1\n')
    return tmp_path


def config(root: Path, name: str) -> Config:
    return Config.fromfile(root / 'configs' / '_base_' / 'datasets' / f'{name}.py')


def dataset(cfg: Config, data_root: Path, split: str, **changes):
    return DATASETS.build(
        {**cfg[f'{split}_dataloader']['dataset'], 'data_root': str(data_root), **changes}
    )


@pytest.mark.filterwarnings('ignore:1 of 2 names')
@pytest.mark.parametrize('name', CONFIGS)
def test_image_and_mask_stay_aligned_in_training(root: Path, kvasir_like: Path, name: str) -> None:
    cfg = config(root, name)
    pipeline = [t for t in cfg.train_pipeline if t['type'] != 'RandomCutOut']
    data = dataset(cfg, kvasir_like, 'train', pipeline=pipeline)
    seen, valid_shares = set(), []
    for i in range(40):
        out = data[i % 2]
        mask = out['data_samples'].gt_sem_seg.data[0]
        image = out['inputs'].float().mean(0)
        assert out['inputs'].shape == (3, *cfg.img_size[::-1])
        valid = mask != 255
        seen |= set(mask.unique().tolist())
        valid_shares.append(valid.float().mean().item())
        # The image is its own mask, except along the rim, where it is resized bilinearly.
        agree = ((image > 127) == (mask == 1))[valid].float().mean()
        assert agree > 0.985
        assert 0.02 < (mask == 1).float().mean() < 0.3
    assert seen == {0, 1, 255}
    assert min(valid_shares) < 0.95  # some were rotated ...
    assert max(valid_shares) == 1.0  # ... and some were not


@pytest.mark.filterwarnings('ignore:1 of 2 names')
def test_background_is_one_minus_foreground_after_any_augmentation(
    root: Path, kvasir_like: Path
) -> None:
    cfg = config(root, 'kvasir_seg_160x160')
    pipeline = [dict(t, **(dict(prob=1.0) if 'prob' in t else {})) for t in cfg.train_pipeline]
    data = dataset(cfg, kvasir_like, 'train', pipeline=pipeline)
    for i in range(20):
        mask = data[i % 2]['data_samples'].gt_sem_seg.data
        valid = mask != 255
        foreground, background = (mask == 1).long(), (mask == 0).long()
        assert (foreground + background)[valid].eq(1).all()
        assert (foreground + background)[~valid].eq(0).all()
        assert not valid.all()


def test_cut_out_blackens_the_image_and_leaves_the_mask(root: Path) -> None:
    cfg = config(root, 'kvasir_seg')
    (cut_out,) = [t for t in cfg.train_pipeline if t['type'] == 'RandomCutOut']
    results = mask_sample(blob(256, 256), img=np.full((256, 256, 3), 9, np.uint8))
    out = TRANSFORMS.build(dict(cut_out, prob=1.0))(results)
    assert np.array_equal(out['gt_seg_map'], blob(256, 256))
    black = (out['img'] == 0).all(2)
    assert 0 < black.sum() <= 10 * 32 * 32
    assert set(np.unique(out['img'])) == {0, 9}


def test_flips_are_independent(root: Path) -> None:
    cfg = config(root, 'kvasir_seg')
    flips = Compose([dict(t) for t in cfg.train_pipeline if t['type'] == 'RandomFlip'])
    corner = np.zeros((2, 2, 3), np.uint8)
    corner[0, 0] = 1
    counts = np.zeros((2, 2))
    for _ in range(2000):
        counts += flips(dict(img=corner.copy(), seg_fields=[]))['img'][..., 0]
    expected = np.array([[0.49, 0.21], [0.21, 0.09]])  # .7 * .7, .7 * .3, .3 * .3
    assert np.abs(counts / 2000 - expected).max() < 0.04


@pytest.mark.parametrize('name', CONFIGS)
@pytest.mark.parametrize('split', ['val', 'test'])
def test_scored_at_input_size(root: Path, kvasir_like: Path, name: str, split: str) -> None:
    cfg = config(root, name)
    packed = dataset(cfg, kvasir_like, split)[0]['data_samples']
    size = cfg.img_size[::-1]
    assert packed.ori_shape == packed.img_shape == size
    assert packed.gt_sem_seg.shape == size
    grey = cv2.imread(str(kvasir_like / 'masks' / 'n1.jpg'), cv2.IMREAD_GRAYSCALE)
    cut = 255 * (grey > 127).astype(np.uint8)
    expected = cv2.resize(cut, cfg.img_size, interpolation=cv2.INTER_LINEAR)
    assert np.array_equal(packed.gt_sem_seg.data[0].numpy(), expected > 127)


# ------------------------------------------------------------------- a perfect prediction


def self_portraits(folder: Path, masks: dict[str, np.ndarray]) -> Path:
    """A data set whose images are their masks (0 and 255), without noise."""
    for kind in ('images', 'masks'):
        (folder / kind).mkdir(parents=True)
        for name, mask in masks.items():
            Image.fromarray(mask).save(folder / kind / f'{name}.png')
    for split in ('train', 'val'):
        (folder / f'{split}.txt').write_text('\n'.join(masks))
    return folder


def score_of_what_is_seen(cfg: Config, folder: Path, size: int) -> dict:
    """Scores of a network whose probability is the brightness of its input."""
    steps = [t | dict(scale=(size, size)) if 'scale' in t else t for t in cfg.test_pipeline]
    data = dataset(cfg, folder, 'val', pipeline=steps)
    metric = METRICS.build(cfg.val_evaluator[0])
    metric.dataset_meta = data.metainfo
    for packed in data:
        sample = packed['data_samples']
        seen = packed['inputs'].float().mean(0, keepdim=True) / 255
        assert seen.shape == (1, size, size)
        sample.seg_logits = PixelData(data=seen)
        sample.pred_sem_seg = PixelData(data=(seen > 0.5).long())
        metric.process({}, [sample.to_dict()])
    return metric.evaluate(len(data))


@pytest.mark.parametrize('size', [160, 256])
def test_a_perfect_prediction_scores_100(root: Path, tmp_path: Path, size: int) -> None:
    shapes = [(331, 487), (512, 640), (97, 101), (160, 256), (1072, 603)]
    masks = {f'{h}x{w}': blob(h, w) for h, w in shapes}
    masks['stripes'] = np.tile(np.uint8([255, 255, 0, 255, 0, 0, 0]), (300, 71))
    cfg = config(root, 'kvasir_seg')
    result = score_of_what_is_seen(cfg, self_portraits(tmp_path / 'data', masks), size)
    for key in ('image/mDice', 'image/mIoU', 'image/mRecall', 'image/mPrecision', 'image/mAcc'):
        assert result[key] == 100


@pytest.mark.parametrize('size', [160, 256])
def test_a_perfect_prediction_of_real_masks(
    root: Path, tmp_path: Path, kvasir_dir: Path, size: int
) -> None:
    names = (kvasir_dir / 'val.txt').read_text().split()[::4]
    masks, former = {}, []
    for name in names:
        grey = cv2.imread(str(kvasir_dir / 'masks' / f'{name}.jpg'), cv2.IMREAD_GRAYSCALE)
        masks[name] = 255 * (grey > 127).astype(np.uint8)
        seen = cv2.resize(masks[name], (size, size), interpolation=cv2.INTER_LINEAR) > 127
        near = cv2.resize(masks[name], (size, size), interpolation=cv2.INTER_NEAREST) > 0
        former.append(200 * (seen & near).sum() / (seen.sum() + near.sum()))
    folder = self_portraits(tmp_path / 'data', masks)
    result = score_of_what_is_seen(config(root, 'kvasir_seg'), folder, size)
    assert (result['image/mDice'], result['image/mIoU']) == (100, 100)
    assert np.mean(former) == pytest.approx({160: 97.9, 256: 98.7}[size], abs=0.3)


@pytest.mark.filterwarnings('ignore:.* of .* names')
@pytest.mark.parametrize('name', CONFIGS)
def test_training_masks_lie_on_their_images(root: Path, tmp_path: Path, name: str) -> None:
    """To the pixel, flips included; a rotation resamples the two differently."""
    masks = {f'{h}x{w}': blob(h, w) for h, w in [(331, 487), (512, 640), (97, 101)]}
    cfg = config(root, name)
    left_out = ('RandomRotate', 'RandomCutOut')
    for steps in (cfg.train_pipeline, cfg.stage1_train_pipeline):
        pipeline = [t for t in steps if t['type'] not in left_out]
        folder = self_portraits(tmp_path / str(len(list(tmp_path.iterdir()))), masks)
        data = dataset(cfg, folder, 'train', pipeline=pipeline)
        for i in range(12):
            packed = data[i % 3]
            mask = packed['data_samples'].gt_sem_seg.data[0]
            assert mask.shape == cfg.img_size[::-1]
            assert (packed['inputs'][0] / 255 > 0.5).equal(mask == 1)
            assert set(mask.unique().tolist()) == {0, 1}


def test_without_score_at_input_size_the_file_size_stays(root: Path, kvasir_like: Path) -> None:
    cfg = config(root, 'kvasir_seg')
    pipeline = [t for t in cfg.test_pipeline if t['type'] != 'ScoreAtInputSize']
    packed = dataset(cfg, kvasir_like, 'val', pipeline=pipeline)[0]['data_samples']
    assert (packed.ori_shape, packed.img_shape) == ((131, 77), (256, 256))
    assert packed.gt_sem_seg.shape == (131, 77)


@pytest.mark.parametrize('name', CONFIGS)
def test_views_of_the_tta_pipeline(root: Path, kvasir_like: Path, name: str) -> None:
    cfg = config(root, name)
    views = dataset(cfg, kvasir_like, 'test', pipeline=cfg.tta_pipeline)[0]
    plain, horizontal, vertical = views['inputs']
    assert plain.shape == (3, *cfg.img_size[::-1])
    assert plain.equal(horizontal.flip(2))
    assert plain.equal(vertical.flip(1))
    truths = [view.gt_sem_seg.data for view in views['data_samples']]
    assert all(truth.equal(truths[0]) for truth in truths)
    reference = dataset(cfg, kvasir_like, 'test')[0]['data_samples']
    assert truths[0].equal(reference.gt_sem_seg.data)


def test_configs_differ_only_in_what_they_are_named_for(root: Path) -> None:
    base, small = (config(root, name) for name in CONFIGS)
    same = small.dump().replace('160', '256').replace('batch_size=8', 'batch_size=12')
    assert same == base.dump()
    assert small.dump() != base.dump()


def test_kvasir_masks_are_read_in_silence(root: Path, kvasir_dir: Path) -> None:
    cfg = config(root, 'kvasir_seg')
    data = dataset(cfg, kvasir_dir, 'val', check_files=False)
    with warnings.catch_warnings():
        warnings.simplefilter('error', UserWarning)
        for i in range(0, 120, 10):
            mask = data[i]['data_samples'].gt_sem_seg.data
            assert set(mask.unique().tolist()) == {0, 1}
