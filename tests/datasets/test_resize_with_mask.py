"""One rule for masks that change their size: the function, ResizeWithMask, what warns."""

import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers import blob, mask_file, mask_sample
from mmengine.dataset import Compose
from mmseg.registry import DATASETS, TRANSFORMS

from condseg_mmseg.datasets import LoadBinaryMask, LoadSoftMask, ResizeWithMask
from condseg_mmseg.datasets.mask_resize import resize_mask, resize_soft

SIZES = [(24, 32), (64, 96), (11, 17), (1, 1), (160, 160), (256, 256)]


def soft(mask: np.ndarray) -> np.ndarray:
    return mask.astype(np.float32) / 255


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 200 * (a & b).sum() / (a.sum() + b.sum())


# ------------------------------------------------------------------------- binary masks


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('shape', [(37, 53), (74, 64), (331, 487)])
def test_an_image_of_the_mask_is_cut_at_the_same_pixels(shape: tuple, size: tuple) -> None:
    """To the pixel, halfway ones included, which the second shape has plenty of."""
    mask = blob(*shape) // 255
    image = cv2.resize(255 * mask, size[::-1], interpolation=cv2.INTER_LINEAR)
    out = resize_mask(mask, size)
    assert out.dtype == np.uint8
    assert np.array_equal(out, image / 255 > 0.5)
    exact = cv2.resize(mask.astype(np.float64), size[::-1], interpolation=cv2.INTER_LINEAR)
    clear = np.abs(exact - 0.5) > 1 / 255
    assert np.array_equal(out[clear], exact[clear] > 0.5)


def test_halfway_is_foreground() -> None:
    mask = np.array([[0, 1, 1, 0, 0, 0]], np.uint8)
    assert resize_mask(mask, (1, 3)).tolist() == [[1, 1, 0]]


@pytest.mark.parametrize(
    ('mask', 'size', 'expected'),
    [
        # half the width: of a pair that is half ignored the other half counts
        ([[0, 0, 1, 1, 255, 255]], (1, 3), [[0, 1, 255]]),
        ([[255, 1, 255, 0, 1, 255]], (1, 3), [[1, 0, 1]]),
        # a quarter of valid weight is too little, three quarters go by their mean
        ([[255, 255, 1, 255], [255, 1, 0, 0]], (1, 2), [[255, 0]]),
        ([[1, 255, 255, 1], [1, 0, 255, 0]], (1, 2), [[1, 1]]),
        # twice the width: shares of 3/4 and 1/4
        ([[0, 255]], (1, 4), [[0, 0, 255, 255]]),
        ([[1, 255]], (1, 4), [[1, 1, 255, 255]]),
        ([[1, 0]], (1, 4), [[1, 1, 0, 0]]),
    ],
)
def test_ignored_pixels_by_hand(mask: list, size: tuple, expected: list) -> None:
    assert resize_mask(np.array(mask, np.uint8), size).tolist() == expected


def test_an_ignored_border_neither_grows_into_the_object_nor_the_object_into_it() -> None:
    mask = np.zeros((40, 60), np.uint8)
    mask[:, 20:40], mask[:, 40:] = 1, 255
    out = resize_mask(mask, (13, 17))
    assert set(np.unique(out)) == {0, 1, 255}
    assert (out == out[:1]).all()
    assert (out[0] == 1).sum() == pytest.approx(17 / 3, abs=1)
    assert (out[0] == 255).sum() == pytest.approx(17 / 3, abs=1)
    assert ''.join(map(str, out[0])).strip('0').startswith('1')  # nothing between 0 and 1


# ------------------------------------------------------------------------------- soft masks


@pytest.mark.parametrize('size', [(24, 32), (64, 96), (37, 53)])
def test_soft_masks_are_resized_bilinearly_as_grey_ones(size: tuple) -> None:
    out = resize_mask(soft(blob()), size)
    expected = cv2.resize(blob(), size[::-1], interpolation=cv2.INTER_LINEAR)
    assert np.array_equal(out, expected.astype(np.float32) / 255)
    assert ((out > 0) & (out < 1)).any() == (size != (37, 53))
    exact = cv2.resize(soft(blob()), size[::-1], interpolation=cv2.INTER_LINEAR)
    assert np.abs(out - exact).max() <= 1 / 255


def test_ignored_pixels_have_no_weight() -> None:
    mask = np.array([[0.2, 0.6, 255, 255], [0.2, 0.6, 255, 0.8]], np.float32)
    # Half the width is the mean of each pair; of a pair that is half ignored the other half.
    assert resize_soft(mask[:1], (1, 2)).tolist() == [[pytest.approx(0.4, abs=1e-6), 255]]
    assert resize_soft(mask[1:], (1, 2))[0] == pytest.approx([0.4, 0.8], abs=1e-6)
    field = np.zeros((40, 60), np.float32)
    field[:, 20:40], field[:, 40:] = 1, 255
    out = resize_soft(field, (13, 17))
    valid = out != 255
    assert ((out[valid] >= 0) & (out[valid] <= 1)).all()  # no 255 has leaked into a mean
    assert (out[:, 12:] == 255).all()
    assert (out[:, 6:11] == 1).all()


# --------------------------------------------------------------------------------- labels


def nearest(mask: np.ndarray, size: tuple) -> np.ndarray:
    """The source pixel under the centre of each new one."""
    rows, columns = (
        np.floor((np.arange(new) + 0.5) * old / new).astype(int)
        for new, old in zip(size, mask.shape, strict=True)
    )
    return mask[np.ix_(rows, columns)]


@pytest.mark.parametrize('size', [(23, 31), (64, 97), (7, 11), (1, 1)])
def test_labels_are_those_under_the_centres(size: tuple) -> None:
    labels = np.random.default_rng(0).integers(0, 9, (45, 59), dtype=np.uint8)
    out = resize_mask(labels, size, labels=True)
    assert np.array_equal(out, nearest(labels, size))
    colours = np.repeat(labels[..., None], 3, 2)
    assert np.array_equal(resize_mask(colours, size, True), np.repeat(out[..., None], 3, 2))
    plain = cv2.resize(labels, size[::-1], interpolation=cv2.INTER_NEAREST)
    assert not np.array_equal(out, plain)  # what mmseg's Resize does


def test_the_argument_decides_and_not_the_values() -> None:
    """A map of labels that happens to hold 0 and 1 only is resized as its neighbours are."""
    zero_one = np.tile(np.array([[1, 0, 0, 1, 0, 0]], np.uint8), (6, 1))
    several = 7 * zero_one
    several[0, 1] = 3
    out = [resized(mask, (3, 3), labels=True)['gt_seg_map'] for mask in (zero_one, several)]
    assert np.array_equal(out[0] == 1, out[1] == 7)
    assert out[0].tolist() == nearest(zero_one, (3, 3)).tolist() == [[0, 1, 0]] * 3
    assert resized(zero_one, (3, 3))['gt_seg_map'].tolist() == [[1, 1, 0]] * 3
    for size in ((3, 3), (6, 6)):  # its own size too
        with pytest.raises(ValueError, match=r'^mask\.png: the mask holds \[3, 7\] .*labels=True'):
            resized(several, size)


# --------------------------------------------------------------------------- ResizeWithMask


def resized(mask: np.ndarray, size: tuple, **options) -> dict:
    """Resize an image of the mask's size and the mask to (height, width)."""
    transform = dict(type='ResizeWithMask', scale=size[::-1], **options)
    results = mask_sample(mask, img=np.zeros((*mask.shape, 3), np.uint8))
    return TRANSFORMS.build(transform)(results)


@pytest.mark.parametrize('ratio', [True, False])
@pytest.mark.parametrize('kind', ['soft', 'binary', 'labels'])
def test_masks_get_the_size_of_the_image(ratio: bool, kind: str) -> None:
    mask = blob(41, 80)
    mask = soft(mask) if kind == 'soft' else mask // 255
    out = resized(mask, (32, 32), labels=kind == 'labels', keep_ratio=ratio)
    size = (16, 32) if ratio else (32, 32)
    assert out['img'].shape[:2] == out['gt_seg_map'].shape == out['img_shape'] == size
    assert out['gt_seg_map'].dtype == mask.dtype
    plain = TRANSFORMS.build(dict(type='Resize', scale=(32, 32), keep_ratio=ratio))
    expected = plain(mask_sample(mask, img=np.zeros((*mask.shape, 3), np.uint8)))
    for key in ('scale', 'scale_factor', 'img_shape', 'keep_ratio'):
        assert out[key] == expected[key]


def test_every_other_field_holds_labels() -> None:
    results = mask_sample(blob() // 255, img=np.zeros((37, 53, 3), np.uint8), parts=blob() // 51)
    results['seg_fields'] = ['gt_seg_map', 'parts']
    out = ResizeWithMask(scale=(32, 24))(results)
    assert np.array_equal(out['gt_seg_map'], resize_mask(blob() // 255, (24, 32)))
    assert np.array_equal(out['parts'], nearest(blob() // 51, (24, 32)))


@pytest.mark.parametrize('load', [LoadSoftMask, LoadBinaryMask])
def test_random_resize_of_mmcv_can_use_it(tmp_path: Path, load: type) -> None:
    random = dict(type='RandomResize', scale=(60, 40), ratio_range=(0.5, 0.5))
    steps = [load(), dict(random, resize_type='ResizeWithMask')]
    image = np.repeat(blob()[..., None], 3, 2)
    out = Compose(steps)(mask_file(tmp_path, blob(), img=image))
    assert out['img'].shape == (20, 30, 3)
    share = out['img'][..., 0] / np.float32(255)
    assert np.array_equal(out['gt_seg_map'], share if load is LoadSoftMask else share > 0.5)


def test_an_image_without_a_mask() -> None:
    results = dict(img=np.zeros((9, 9, 3), np.uint8), img_shape=(9, 9))
    assert ResizeWithMask(scale=(5, 4))(results)['img_shape'] == (4, 5)


# ------------------------------------------------------------------- resizes of mmseg


IMAGE, LOAD = dict(type='LoadImageFromFile'), dict(type='LoadBinaryMask')


def build(tmp_path: Path, pipeline: list[dict], **options) -> object:
    for kind in ('images', 'masks'):
        (tmp_path / kind).mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / kind / 'a.png'), blob())
    data = dict(type='BinaryMedicalDataset', data_root=str(tmp_path), pipeline=pipeline)
    return DATASETS.build(data | options)


@pytest.mark.parametrize(
    'resize',
    [
        dict(type='Resize', scale=(32, 24)),
        dict(type='RandomResize', scale=(32, 24), ratio_range=(0.5, 2.0)),
        dict(type='RandomChoiceResize', scales=[(32, 24)]),
    ],
    ids=lambda step: step['type'],
)
def test_a_nearest_resize_after_the_mask_warns(tmp_path: Path, resize: dict) -> None:
    with pytest.warns(
        UserWarning, match='Resize after the mask was loaded takes its nearest pixel'
    ):
        build(tmp_path, [IMAGE, LOAD, resize])
    ours = dict(resize, resize_type='ResizeWithMask')
    if resize['type'] == 'Resize':
        ours = dict(resize, type='ResizeWithMask')
    view = [[LOAD], [dict(type='PackSegInputs')]]
    both = dict(type='TestTimeAug', transforms=[[resize, resize], *view])
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        build(tmp_path, [IMAGE, LOAD, ours])
        build(tmp_path, [IMAGE, resize, LOAD])
        build(tmp_path, [IMAGE, both])


@pytest.mark.parametrize(
    ('load', 'step'),
    [
        (LOAD, dict(type='ResizeToMultiple', size_divisor=32)),
        (LOAD, dict(type='ResizeShortestEdge', scale=32, max_size=64)),
        (dict(type='LoadSoftMask'), dict(type='Resize', scale=(32, 24))),
    ],
    ids=['ResizeToMultiple', 'ResizeShortestEdge', 'LoadSoftMask'],
)
def test_other_resizes_after_the_mask_warn_too(tmp_path: Path, load: dict, step: dict) -> None:
    with pytest.warns(UserWarning, match='after the mask was loaded takes its nearest pixel'):
        build(tmp_path, [IMAGE, load, step])


# ------------------------------------------------------------------------------ real masks


@pytest.mark.parametrize('size', [160, 256])
def test_real_masks(kvasir_dir: Path, shared_dir: Path, size: int) -> None:
    """Cut on loading or after the resize, as published: that differs by JPEG noise only."""
    names = (kvasir_dir / 'val.txt').read_text().split()[::6]
    scores, old = [], []
    for name in names:
        grey = cv2.imread(str(kvasir_dir / 'masks' / f'{name}.jpg'), cv2.IMREAD_GRAYSCALE)
        cut = (grey > 127).astype(np.uint8)
        published = cv2.resize(grey, (size, size), interpolation=cv2.INTER_LINEAR) / 255 > 0.5
        scores.append(dice(resize_mask(cut, (size, size)) > 0, published))
        near = cv2.resize(cut, (size, size), interpolation=cv2.INTER_NEAREST) > 0
        old.append(dice(near, published))
    assert len(scores) == 20
    assert np.mean(scores) > 99.98
    assert min(scores) > 99.8
    assert 97.3 < np.mean(old) < 99.0  # the former rule
    clean = sorted((shared_dir / 'data' / 'isic2017-val').glob('*_segmentation.png'))
    assert clean
    for path in clean:  # without noise the two are the same
        mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        published = cv2.resize(mask, (size, size), interpolation=cv2.INTER_LINEAR) / 255 > 0.5
        assert np.array_equal(resize_mask(mask // 255, (size, size)), published)
