"""BinarizeMask(mode='auto'): 0/1 and 0/255 told apart, at both sizes; the rest refused."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers import blob, mask_sample
from mmengine.dataset import Compose
from PIL import Image

from condseg_mmseg.datasets import BinarizeMask
from condseg_mmseg.utils.mask_values import channel_max, mask_scale

AUTO = dict(type='BinarizeMask', mode='auto')


def auto(mask, **options) -> np.ndarray:
    out = BinarizeMask(mode='auto', **options)(mask_sample(np.asarray(mask, np.uint8)))
    assert out['gt_seg_map'].dtype == np.uint8
    return out['gt_seg_map']


def jpeg(mask: np.ndarray, quality: int = 75) -> np.ndarray:
    return cv2.imdecode(cv2.imencode('.jpg', mask, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 0)


def labels(*values: int) -> np.ndarray:
    mask = np.zeros((40, 40), np.uint8)
    for i, value in enumerate(values):
        mask[4:36, 10 * i : 10 * i + 8] = value
    return mask


def test_values_decide_file_by_file() -> None:
    assert auto([[0, 1], [1, 0]]).tolist() == [[0, 1], [1, 0]]
    assert auto([[0, 0]]).tolist() == [[0, 0]]
    assert auto([[1, 1]]).tolist() == [[1, 1]]
    assert auto([[0, 255]]).tolist() == [[0, 1]]
    assert auto([[255, 255]]).tolist() == [[1, 1]]
    noisy = jpeg(blob(200, 200))
    assert len(np.unique(noisy)) > 20
    assert np.array_equal(auto(noisy), noisy > 127)


@pytest.mark.parametrize('channels', [1, 2, 3, 4])
def test_channels(channels: int) -> None:
    for mask in (blob(), blob() // 255):
        many = np.repeat(mask[..., None], channels, axis=2)
        if channels in (2, 4):
            many[..., -1] = 77  # alpha
        assert np.array_equal(auto(many), blob() > 127)
    dark = np.zeros((2, 2, 3), np.uint8)
    dark[0, 0, 0] = 1  # luminance 0
    assert auto(dark).sum() == 1
    assert channel_max(dark)[0, 0] == 1


def test_a_value_may_be_ignored() -> None:
    assert auto([[0, 1, 7]], ignore_index=7).tolist() == [[0, 1, 255]]
    assert auto([[0, 255, 128]], ignore_index=128).tolist() == [[0, 1, 255]]


WRONG = [
    ('glas', labels(1, 2, 32), 'its highest value is 32'),
    ('two', labels(2), 'its highest value is 2'),
    ('127', labels(127), 'its highest value is 127'),
    ('empty with noise', np.random.default_rng(0).integers(0, 5, (40, 40)), 'highest value is 4'),
    ('labels and ignored', labels(1, 2, 255), 'exactly 1, like a label'),
    ('few labels and ignored', np.eye(40) + 255 * np.eye(40)[::-1], 'low ones such as 1'),
    ('grey', labels(255, 200, 90), 'neither near 0 nor near 255'),
]


@pytest.mark.parametrize(('name', 'mask', 'message'), WRONG, ids=[w[0] for w in WRONG])
def test_the_rest_is_refused_every_time(name: str, mask: np.ndarray, message: str) -> None:
    results = mask_sample(np.asarray(mask, np.uint8))
    for _ in range(2):
        with pytest.raises(ValueError, match=message) as caught:
            BinarizeMask(mode='auto')(dict(results))
    said = str(caught.value)
    assert said.startswith(f'{results["seg_map_path"]}: neither a mask of 0 and 1 nor')
    assert "For labels use BinarizeMask(mode='nonzero')" in said
    assert "BinarizeMask(mode='threshold')" in said
    assert said.count(message) == 1


def test_histogram_once_per_file_highest_value_always(monkeypatch: pytest.MonkeyPatch) -> None:
    results = mask_sample(blob())
    BinarizeMask(mode='auto')(dict(results))
    seen = []
    monkeypatch.setattr(
        'condseg_mmseg.utils.mask_values.suspicion', lambda *a: seen.append(a) or ''
    )
    BinarizeMask(mode='auto')(dict(results))
    assert not seen
    small = dict(results, gt_seg_map=(blob() > 0) * np.uint8(9))  # the file has changed
    BinarizeMask(mode='auto')(small)
    assert len(seen) == 1
    mask_scale(blob())  # without a name there is nothing to remember
    mask_scale(blob())
    assert len(seen) == 3


# ---------------------------------------------------------------- at the network's input size


def scored(tmp_path: Path, mask: np.ndarray, binarize: dict = AUTO) -> np.ndarray:
    """Run the test pipeline at 24 x 32 on a mask file of any size."""
    height, width = mask.shape[:2]
    Image.fromarray(np.zeros((height, width, 3), np.uint8)).save(tmp_path / 'image.png')
    Image.fromarray(mask).save(tmp_path / 'mask.png')
    pipeline = Compose(
        [
            dict(type='LoadImageFromFile'),
            dict(type='Resize', scale=(32, 24), keep_ratio=False),
            dict(type='LoadAnnotations'),
            binarize,
            dict(type='ScoreAtInputSize'),
            dict(type='PackSegInputs'),
        ]
    )
    info = dict(img_path=str(tmp_path / 'image.png'), seg_map_path=str(tmp_path / 'mask.png'))
    packed = pipeline(info | dict(reduce_zero_label=False, label_map=None, seg_fields=[]))
    assert packed['data_samples'].ori_shape == (24, 32)
    return packed['data_samples'].gt_sem_seg.data[0].numpy()


@pytest.mark.parametrize('size', [(37, 53), (24, 32), (11, 17)])
def test_scored_masks_are_the_same_for_both_encodings(tmp_path: Path, size: tuple) -> None:
    mask = blob(*size)
    white, one = scored(tmp_path, mask), scored(tmp_path, mask // 255)
    assert np.array_equal(white, one)
    assert np.array_equal(one, cv2.resize(mask, (32, 24), interpolation=cv2.INTER_LINEAR) > 127)
    assert 0 < one.sum() < one.size


def test_an_object_may_vanish_in_the_resize(tmp_path: Path) -> None:
    mask = np.zeros((48, 64), np.uint8)
    mask[10, 20] = 255
    assert cv2.resize(mask, (32, 24), interpolation=cv2.INTER_LINEAR).max() == 64
    assert scored(tmp_path, mask).sum() == 0
    mask[10, 20:22] = 255  # half of one new pixel
    assert scored(tmp_path, mask).sum() == 1


def test_labels_are_refused_at_the_input_size(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r'mask\.png: .* highest value is 32'):
        scored(tmp_path, labels(1, 2, 32))


@pytest.mark.filterwarnings('ignore:.*like a label')
def test_the_threshold_mode_counts_in_values_of_the_file(tmp_path: Path) -> None:
    one = blob(37, 53) // 255
    threshold = dict(type='BinarizeMask', threshold=0)
    assert np.array_equal(scored(tmp_path, one, threshold), scored(tmp_path, one))
    with pytest.warns(UserWarning, match='highest value is 1, so no pixel is foreground'):
        assert scored(tmp_path, one, dict(type='BinarizeMask')).sum() == 0


# ---------------------------------------------------------------------------- real masks


def test_real_masks(shared_dir: Path) -> None:
    data = shared_dir / 'data'
    white = sorted((data / 'isic2017-val').glob('*_segmentation.png'))
    noisy = sorted((data / 'kvasir-seg' / 'masks').glob('*.jpg'))[::50]
    assert len(white) == 20
    assert len(noisy) == 20
    for path in (*white, *noisy):
        mask = np.array(Image.open(path))
        grey = mask if mask.ndim == 2 else mask[..., 1]
        assert (auto(mask) != (grey > 127)).mean() < 1e-4
    for path in sorted((data / 'glas').glob('*_anno.bmp')):
        with pytest.raises(ValueError, match=r"mode='nonzero'"):
            auto(np.array(Image.open(path)))
