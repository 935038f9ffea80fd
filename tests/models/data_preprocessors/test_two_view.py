"""The strong view: what changes, what does not, and that it can be repeated."""

import sys

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.models import SegDataPreProcessor
from mmseg.structures import SegDataSample

from condseg_mmseg.models import TwoViewSegDataPreProcessor
from condseg_mmseg.models.data_preprocessors import strong_view as module
from condseg_mmseg.models.data_preprocessors.strong_view import StrongView

pytest.importorskip('kornia', reason='needs the extra "consistency"')

NEUTRAL = dict(brightness=0, contrast=0, saturation=0, hue=0, grayscale_prob=0, blur_kernel=(1, 1))
IMAGENET = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True)


def batch(n=3, height=24, width=17):
    inputs = [torch.randint(0, 256, (3, height, width), dtype=torch.uint8) for _ in range(n)]
    samples = [
        SegDataSample(gt_sem_seg=PixelData(data=torch.randint(0, 2, (1, height, width))))
        for _ in range(n)
    ]
    return {'inputs': inputs, 'data_samples': samples}


def preprocessor(strong_view=None, **options):
    options = dict(size=(24, 20), seg_pad_val=255) | options
    return TwoViewSegDataPreProcessor(strong_view=strong_view, **options)


@pytest.mark.parametrize('options', [IMAGENET, {}], ids=['normalised', 'as loaded'])
def test_training_adds_a_view_and_leaves_the_rest_to_mmseg(options):
    result = preprocessor(**options)(batch_of_seed(1), True)
    expected = SegDataPreProcessor(size=(24, 20), **options)(batch_of_seed(1), True)
    assert set(result) == {'inputs', 'data_samples', 'strong_inputs'}
    assert torch.equal(result['inputs'], expected['inputs'])
    for ours, theirs in zip(result['data_samples'], expected['data_samples'], strict=True):
        assert torch.equal(ours.gt_sem_seg.data, theirs.gt_sem_seg.data)
    strong = result['strong_inputs']
    assert strong.shape == result['inputs'].shape == (3, 3, 24, 20)
    assert not torch.allclose(strong, result['inputs'], atol=0.1)
    assert set(preprocessor(**options)(batch(width=20), False)) == {'inputs', 'data_samples'}


def batch_of_seed(seed):
    torch.manual_seed(seed)
    return batch()


@pytest.mark.parametrize('bgr_to_rgb', [True, False])
@pytest.mark.parametrize('channel_order', ['rgb', 'bgr'])
def test_normalisation_is_undone_and_done_again(bgr_to_rgb, channel_order):
    options = IMAGENET | dict(bgr_to_rgb=bgr_to_rgb, channel_order=channel_order)
    result = preprocessor(NEUTRAL, **options)(batch(), True)
    torch.testing.assert_close(result['strong_inputs'], result['inputs'], rtol=0, atol=1e-5)


def test_the_view_stays_an_image():
    result = preprocessor(**IMAGENET)(batch(n=20), True)['strong_inputs']
    mean, std = (torch.tensor(IMAGENET[key]).view(3, 1, 1) for key in ('mean', 'std'))
    pixels = result * std + mean
    assert pixels.min() > -1e-3
    assert pixels.max() < 255 + 1e-3


@pytest.mark.parametrize('bgr_to_rgb', [True, False])
@pytest.mark.parametrize('channel_order', ['rgb', 'bgr'])
def test_colours_are_those_of_the_named_order(bgr_to_rgb, channel_order):
    """Gray tells: 0.299 R + 0.587 G + 0.114 B, with red for blue in the released code."""
    options = dict(size=(24, 17), bgr_to_rgb=bgr_to_rgb, channel_order=channel_order)
    data = batch()
    images = torch.stack(data['inputs']).float()  # BGR, as mmcv loads
    gray = gray_of(images if channel_order == 'bgr' else images.flip(1))
    result = preprocessor(NEUTRAL | dict(grayscale_prob=1.0), **options)(data, True)
    expected = gray.unsqueeze(1).expand(-1, 3, -1, -1)
    torch.testing.assert_close(result['strong_inputs'], expected, rtol=0, atol=1e-2)


def test_the_blur_of_the_released_code_is_seven_high_and_one_wide():
    image = torch.zeros(1, 3, 15, 15)
    image[:, :, 7, 7] = 1
    view = StrongView(**NEUTRAL | dict(blur_kernel=(7, 1), blur_sigma=(1.5, 1.5)))(image)
    weights = np.exp(-(np.arange(-3, 4) ** 2) / (2 * 1.5**2))
    expected = torch.zeros(1, 3, 15, 15)
    expected[:, :, 4:11, 7] = torch.from_numpy(weights / weights.sum()).float()
    torch.testing.assert_close(view, expected)
    square = StrongView(**NEUTRAL | dict(blur_kernel=(7, 7)))(image)
    assert (square[0, 0] > 0).nonzero().amin(0).tolist() == [4, 4]
    assert (square[0, 0] > 0).nonzero().amax(0).tolist() == [10, 10]


def test_brightness_is_a_factor_of_each_image_or_of_the_batch():
    images = torch.full((200, 3, 2, 2), 0.5)
    one = StrongView(**NEUTRAL | dict(brightness=0.3))(images)
    factors = (one / images)[:, 0, 0, 0]
    torch.testing.assert_close(one, images * factors.view(-1, 1, 1, 1))
    assert 0.7 <= factors.min() < 0.72
    assert 1.28 < factors.max() <= 1.3
    same = StrongView(**NEUTRAL | dict(brightness=0.3, same_on_batch=True))(images)
    assert (same == same[:1]).all()
    assert not torch.allclose(same, images, atol=1e-3)


@pytest.mark.parametrize(
    ('name', 'kept'),
    [
        ('contrast', lambda x: gray_of(x).mean((1, 2))),
        ('saturation', lambda x: gray_of(x)),
        ('hue', lambda x: torch.stack((x.amax(1), x.amin(1)))),
    ],
)
def test_each_colour_function_keeps_what_it_must(name, kept):
    images = 0.4 + 0.2 * torch.rand(20, 3, 6, 5)
    view = StrongView(**NEUTRAL | {name: 0.3})(images)
    torch.testing.assert_close(kept(view), kept(images), rtol=0, atol=1e-5)
    assert ((view - images).abs().amax((1, 2, 3)) > 1e-4).sum() >= 18


def gray_of(x):
    return (x * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(1)


def test_every_image_has_its_own_draw_of_everything():
    images = torch.rand(1, 3, 16, 16).expand(12, -1, -1, -1)
    view = StrongView()(images)
    assert len({x.numpy().tobytes() for x in view}) == 12
    gray = (view.amax(1) - view.amin(1)).amax((1, 2)) < 1e-6
    assert 0 < gray.sum() < 12
    same = StrongView(same_on_batch=True)(images)
    torch.testing.assert_close(same, same[:1].expand_as(same))


@pytest.mark.parametrize('same_on_batch', [False, True])
def test_the_order_of_the_colour_functions_is_drawn(same_on_batch):
    view, orders = StrongView(same_on_batch=same_on_batch), []
    jitter = view.steps[0]

    def recorded(images):
        out = jitter(images)
        orders.append(tuple(jitter._params['order'].tolist()))
        return out

    view.steps = (recorded, *view.steps[1:])
    view(torch.rand(10, 3, 8, 8))
    assert len(orders) == (1 if same_on_batch else 10)
    view(torch.rand(10, 3, 8, 8))
    assert len(set(orders)) > 1


def test_the_stream_is_its_own_and_starts_from_the_seed():
    images = torch.rand(2, 3, 8, 8)

    def views(torch_seed, disturb=0, seed=None):
        torch.manual_seed(torch_seed)
        view = StrongView(seed=seed)
        first = view(images)
        torch.rand(disturb)
        before = torch.get_rng_state()
        second = view(images)
        assert torch.equal(torch.get_rng_state(), before)
        assert not torch.equal(first, second)
        return torch.stack((first, second))

    assert torch.equal(views(3), views(3, disturb=5))
    assert not torch.equal(views(3), views(4))
    assert torch.equal(views(3, seed=7), views(4, seed=7))
    assert torch.equal(views(0, seed=7), views(7))


def test_every_rank_has_a_stream_though_mmengine_gives_them_one_seed(monkeypatch):
    images = torch.rand(1, 3, 8, 8)
    seen = []
    for seed, rank in ((0, 0), (0, 1), (1, 0), (1, 1)):
        monkeypatch.setattr(module, 'get_rank', lambda rank=rank: rank)
        seen.append(StrongView(seed=seed)(images))
    assert len({x.numpy().tobytes() for x in seen}) == 4


def test_half_precision_does_not_reach_the_view():
    images = torch.rand(2, 3, 8, 8, requires_grad=True)
    plain = StrongView(seed=1)(images)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        mixed = StrongView(seed=1)(images)
    assert mixed.dtype == torch.float32
    assert torch.equal(mixed, plain)
    assert not plain.requires_grad


def test_the_network_does_not_take_the_view_along_to_its_device():
    two_view = preprocessor(**IMAGENET)
    assert list(two_view.children()) == []
    assert set(two_view.state_dict()) == set(SegDataPreProcessor(**IMAGENET).state_dict())


def test_missing_kornia_is_said_at_construction(monkeypatch):
    monkeypatch.setitem(sys.modules, 'kornia.augmentation', None)
    with pytest.raises(ImportError, match=r'kornia.*pip install "condseg-mmseg\[consistency\]"'):
        preprocessor()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'brightness': -0.1}, 'brightness must be between 0 and 1, got -0.1'),
        ({'hue': 0.6}, 'hue must be between 0 and 0.5 turns, got 0.6'),
        ({'grayscale_prob': 2}, 'grayscale_prob must be between 0 and 1, got 2'),
        ({'blur_kernel': (7, 2)}, r'blur_kernel must be an odd height and width, got \(7, 2\)'),
        ({'blur_sigma': (0, 3)}, r'blur_sigma must be a range of positive pixels, got \(0, 3\)'),
    ],
)
def test_wrong_strengths_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        preprocessor(options)


def test_wrong_orders_and_images_are_named():
    with pytest.raises(ValueError, match="channel_order must be 'rgb' or 'bgr', got 'RGB'"):
        preprocessor(channel_order='RGB')
    with pytest.raises(ValueError, match=r'3 channels and at least 4 x 4 .* \(3, 3, 24, 3\)'):
        preprocessor(size=(24, 3))(batch(width=3), True)
    with pytest.raises(ValueError, match=r'3 channels .* got a batch of shape \(1, 1, 9, 9\)'):
        preprocessor().strong_inputs(torch.zeros(1, 1, 9, 9))


def drawn(data, draws):
    for sample, draw in zip(data['data_samples'], draws, strict=True):
        sample.set_metainfo(dict(draw=draw))
    return data


@pytest.mark.parametrize('same_on_batch', [False, True])
def test_a_view_depends_on_the_draw_of_its_image_or_of_the_first(same_on_batch):
    """Not on what the preprocessor made before, nor on torch's state, nor on the other images."""
    draws = [(0, 3, 7), (0, 3, 2), (0, 3, 5)]
    view = preprocessor(dict(same_on_batch=same_on_batch), **IMAGENET)

    def strong(draws, count=3):
        data = drawn(batch_of_seed(1), draws)
        torch.rand(5)
        before = torch.get_rng_state()
        result = view({k: v[:count] for k, v in data.items()}, True)['strong_inputs']
        assert torch.equal(torch.get_rng_state(), before)
        return result

    first = strong(draws)
    assert torch.equal(strong(draws), first)
    assert torch.equal(strong(draws, count=2), first[:2])
    changed = strong([draws[0], (0, 4, 2), draws[2]])
    same = [torch.equal(a, b) for a, b in zip(first, changed, strict=True)]
    assert same == ([True] * 3 if same_on_batch else [True, False, True])
    other = strong([(0, 4, 7), *draws[1:]])
    same = [torch.equal(a, b) for a, b in zip(first, other, strict=True)]
    assert same == ([False] * 3 if same_on_batch else [False, True, True])


def test_a_batch_in_which_an_image_has_no_draw_takes_the_stream():
    data = batch_of_seed(1)
    data['data_samples'][0].set_metainfo(dict(draw=(0, 0, 0)))
    view = preprocessor(dict(seed=4), **IMAGENET)
    expected = preprocessor(dict(seed=4), **IMAGENET)(batch_of_seed(1), True)['strong_inputs']
    assert torch.equal(view(data, True)['strong_inputs'], expected)
