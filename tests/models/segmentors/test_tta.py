"""BinarySegTTAModel against the plain prediction and mmseg's SegTTAModel."""

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.structures import PixelData
from mmseg.models.segmentors import SegTTAModel
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor, nn

import condseg_mmseg  # noqa: F401
from condseg_mmseg.models.segmentors.tta import BinarySegTTAModel

SIZE = (12, 20)
VIEWS = (None, 'horizontal', 'vertical')


@MODELS.register_module()
class PixelwiseBackbone(nn.Module):
    """Hands the image on, so that the network commutes with flips."""

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (x,)


def segmentor(out_channels: int, threshold: float | None = None, symmetric: bool = True):
    """Make a network of one convolution; 1 x 1 commutes with flips, 3 x 3 does not."""
    head = dict(
        type='FCNHead', in_channels=3, channels=4, num_convs=1, kernel_size=1 if symmetric else 3,
        concat_input=False, dropout_ratio=0.0, align_corners=False, in_index=0,
        num_classes=max(2, out_channels), out_channels=out_channels, threshold=threshold,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=out_channels == 1),
    )  # fmt: skip
    model = MODELS.build(
        dict(
            type='EncoderDecoder',
            data_preprocessor=dict(type='SegDataPreProcessor', mean=[127.0] * 3, std=[60.0] * 3),
            backbone=dict(type='PixelwiseBackbone'),
            decode_head=head,
            train_cfg=dict(),
            test_cfg=ConfigDict(mode='whole'),
        )
    )
    model.eval()
    final = model.decode_head.conv_seg
    nn.init.normal_(final.weight, std=2.0)
    with torch.no_grad():  # every class wins somewhere
        final.bias -= model(torch.randn(4, 3, *SIZE), mode='tensor').mean(dim=(0, 2, 3))
    return model


def views_of(images: list[Tensor], directions: tuple = VIEWS, ori_shape: tuple = SIZE) -> dict:
    """Make a collated batch as TestTimeAug and pseudo_collate do: views outside, images inside."""
    inputs, samples = [], []
    for direction in directions:
        dims = dict(horizontal=[2], vertical=[1]).get(direction, [])
        inputs.append([image.flip(dims) for image in images])
        samples.append([])
        for i, image in enumerate(images):
            meta = dict(
                img_path=f'{i}.jpg', ori_shape=ori_shape, img_shape=tuple(image.shape[1:]),
                flip=direction is not None, flip_direction=direction,
            )  # fmt: skip
            samples[-1].append(SegDataSample(metainfo=meta))
            samples[-1][-1].gt_sem_seg = PixelData(data=torch.zeros(1, *ori_shape))
    return dict(inputs=inputs, data_samples=samples)


def images(number: int = 2) -> list[Tensor]:
    return [torch.randint(0, 256, (3, *SIZE), dtype=torch.uint8) for _ in range(number)]


def plain(model, batch: list[Tensor], ori_shape: tuple = SIZE) -> list[SegDataSample]:
    data = views_of(batch, (None,), ori_shape)
    with torch.no_grad():
        return model.test_step({key: value[0] for key, value in data.items()})


def augmented(wrapper: type, model, data: dict) -> list[SegDataSample]:
    with torch.no_grad():
        return wrapper(module=model).test_step(data)


@pytest.mark.parametrize('out_channels', [1, 2, 3])
@pytest.mark.parametrize('ori_shape', [SIZE, (31, 17), (1, 9)])
def test_one_view_is_the_plain_prediction(out_channels: int, ori_shape: tuple) -> None:
    model, batch = segmentor(out_channels, 0.5), images()
    expected = plain(model, batch, ori_shape)
    merged = augmented(BinarySegTTAModel, model, views_of(batch, (None,), ori_shape))
    for a, b in zip(merged, expected, strict=True):
        assert a.pred_sem_seg.data.equal(b.pred_sem_seg.data)
        assert a.pred_sem_seg.data.dtype == b.pred_sem_seg.data.dtype
        assert a.pred_sem_seg.data.shape == (1, *ori_shape)
        if out_channels == 1:
            assert a.seg_logits.data.equal(b.seg_logits.data)
        else:
            torch.testing.assert_close(a.seg_logits.data.softmax(0), b.seg_logits.data.softmax(0))


@pytest.mark.parametrize('out_channels', [1, 2])
def test_flips_of_a_symmetric_network_change_nothing(out_channels: int) -> None:
    model, batch = segmentor(out_channels, 0.5), images()
    merged = augmented(BinarySegTTAModel, model, views_of(batch))
    for a, b in zip(merged, plain(model, batch), strict=True):
        assert a.pred_sem_seg.data.equal(b.pred_sem_seg.data)
        assert 0.05 < a.pred_sem_seg.data.float().mean() < 0.95


def test_probabilities_are_averaged_and_cut_at_the_threshold_of_the_head() -> None:
    model, (image,) = segmentor(1, 0.3, symmetric=False), images(1)
    (merged,) = augmented(BinarySegTTAModel, model, views_of([image]))
    total = torch.zeros(1, *SIZE)
    with torch.no_grad():
        for dims in ([], [3], [2]):
            x = ((image[None].float() - 127) / 60).flip(dims)
            total += model(x, mode='tensor').flip(dims)[0].sigmoid()
    torch.testing.assert_close(merged.seg_logits.data, total / 3)
    assert merged.pred_sem_seg.data.equal((merged.seg_logits.data > 0.3).float())
    assert not merged.pred_sem_seg.data.equal((merged.seg_logits.data > 0.5).float())


def test_a_cascade_is_cut_at_the_threshold_of_its_last_head() -> None:
    def head(type: str, threshold: float, **more) -> dict:
        return dict(
            type=type, in_channels=3, channels=4, dropout_ratio=0.0, num_classes=2, out_channels=1,
            in_index=0, threshold=threshold, **more,
        )  # fmt: skip

    cascade = MODELS.build(
        dict(
            type='CascadeEncoderDecoder',
            num_stages=2,
            backbone=dict(type='PixelwiseBackbone'),
            decode_head=[
                head('FCNHead', 0.9, num_convs=1),
                head('OCRHead', 0.3, ocr_channels=4),
            ],
        )
    )
    views = []
    for probabilities in ([0.2, 0.3, 0.9], [0.2, 0.5, 0.9]):  # means 0.2, 0.4, 0.9
        views.append(SegDataSample(seg_logits=PixelData(data=torch.tensor([[probabilities]]))))
    (merged,) = BinarySegTTAModel(module=cascade).merge_preds([views])
    assert merged.pred_sem_seg.data.tolist() == [[[0.0, 1.0, 1.0]]]


def test_mmsegs_own_model_calls_everything_foreground() -> None:
    model, batch = segmentor(1, 0.5), images()
    for sample in augmented(SegTTAModel, model, views_of(batch)):
        assert sample.pred_sem_seg.data.eq(1).all()  # why ours is there


@pytest.mark.parametrize('out_channels', [2, 4])
def test_softmax_heads_are_labelled_as_by_mmseg(out_channels: int) -> None:
    model, batch = segmentor(out_channels, symmetric=False), images()
    ours = augmented(BinarySegTTAModel, model, views_of(batch))
    theirs = augmented(SegTTAModel, model, views_of(batch))
    for a, b in zip(ours, theirs, strict=True):
        assert a.pred_sem_seg.data.equal(b.pred_sem_seg.data)
        assert len(a.pred_sem_seg.data.unique()) > 1


def test_the_result_carries_truth_and_meta_of_the_first_view() -> None:
    merged = augmented(BinarySegTTAModel, segmentor(1, 0.5), views_of(images()))
    assert [sample.img_path for sample in merged] == ['0.jpg', '1.jpg']
    assert all(sample.flip is False and 'gt_sem_seg' in sample for sample in merged)


def test_views_of_different_sizes_are_an_error() -> None:
    data = views_of(images(1))
    data['data_samples'][1][0].set_metainfo(dict(ori_shape=(6, 10)))
    with pytest.raises(ValueError, match=r'0\.jpg: .* different sizes'):
        augmented(BinarySegTTAModel, segmentor(1, 0.5), data)


def test_built_from_the_registry() -> None:
    model = MODELS.build(dict(type='BinarySegTTAModel', module=segmentor(1, 0.5)))
    assert isinstance(model, BinarySegTTAModel)
