"""mmseg's EncoderDecoder that also computes the loss of validation images."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.dist import all_reduce
from mmengine.structures import BaseDataElement, PixelData
from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from ..layers import resize_to

MEMORY_FORMATS = ('contiguous_format', 'channels_last')

# of mmseg: what their loss reads is more than the one map that they predict
_SEVERAL_MAPS = ('EncHead', 'DDRHead', 'PIDHead')


@MODELS.register_module()
class ValLossEncoderDecoder(EncoderDecoder):
    """EncoderDecoder whose validation reports ``val_loss`` beside the scores.

    A learning-rate schedule can then watch the validation loss (method section "Settings":
    ``ReduceOnPlateauLR(monitor='val_loss', rule='less')``). It is the loss of ``decode_head``; what
    only training runs (auxiliary head, strong view) has no part in it. mmengine's ``ValLoop`` takes
    the mean over batches; over several processes the value of a batch is averaged, so that the
    schedules of all of them agree; each must have the same number of batches, as with mmengine's
    samplers by default. Testing and inference are mmseg's own.

    Args:
        *args: Those of :class:`mmseg.models.EncoderDecoder`.
        memory_format: How the convolutions' weights lie in memory, and with them, whatever the
            format of the input, all maps: 'contiguous_format' or 'channels_last', which PyTorch's
            convolutions were faster with on the CPUs we measured; GPUs were not. Values agree but
            for rounding. Default 'channels_last'.
        **kwargs: Those of :class:`mmseg.models.EncoderDecoder`.

    Shapes:
        as there; logits are compared with ``gt_sem_seg`` (1, H, W) of each sample at its own size.

    Raises:
        ValueError: A decode head whose loss needs more than the map it predicts, or an unknown
            ``memory_format``.
    """

    def __init__(self, *args: Any, memory_format: str = 'channels_last', **kwargs: Any) -> None:
        if memory_format not in MEMORY_FORMATS:
            raise ValueError(
                f'memory_format must be one of {MEMORY_FORMATS}, got {memory_format!r}'
            )
        super().__init__(*args, **kwargs)
        names = {base.__name__ for base in type(self.decode_head).__mro__}
        if names.intersection(_SEVERAL_MAPS):
            raise ValueError(
                f'{type(self.decode_head).__name__} has no loss of the one map that it predicts, '
                "and so no val_loss: use type='EncoderDecoder', and a schedule that watches a "
                "score (param_scheduler with monitor='image/mIoU', rule='greater')"
            )
        # before anything wraps the model or reads its weights; loading them keeps the format
        self.to(memory_format=getattr(torch, memory_format))

    def val_step(self, data: dict) -> list:
        """Predict a batch, and append its loss where all its samples have a truth.

        Args:
            data: A batch of the validation dataloader: ``inputs`` and ``data_samples``.

        Returns:
            The predicted ``SegDataSample``s and, last, ``BaseDataElement(loss={name: scalar})``,
            which mmengine's loop takes off again.
        """
        data = self.data_preprocessor(data, False)
        inputs, samples = data['inputs'], data['data_samples']
        logits = self.inference(inputs, [sample.metainfo for sample in samples])
        labelled = all('gt_sem_seg' in sample for sample in samples)
        loss = self._validation_loss(logits, samples) if labelled else None
        results = self.postprocess_result(logits, samples)
        return results if loss is None else [*results, BaseDataElement(loss=loss)]

    def _validation_loss(self, logits: Tensor, samples: list[SegDataSample]) -> dict[str, Tensor]:
        """Losses of the decode head, of the whole batch if its labels have one size."""
        maps, labels = [], []
        for image, sample in zip(logits, samples, strict=True):
            label = sample.gt_sem_seg.data
            left, right, top, bottom = sample.metainfo.get(
                'img_padding_size', sample.metainfo.get('padding_size', [0] * 4)
            )
            height, width = image.shape[-2:]
            image = image[None, :, top : height - bottom, left : width - right]
            maps.append(resize_to(image, label.shape[-2:], self.align_corners))
            labels.append(SegDataSample(gt_sem_seg=PixelData(data=label)))
        if len({x.shape for x in maps}) == 1:
            groups = [(torch.cat(maps), labels)]
        else:
            groups = [(x, [label]) for x, label in zip(maps, labels, strict=True)]
        sums: dict[str, Tensor] = {}
        for group, truth in groups:
            for name, value in self.decode_head.loss_by_feat(group, truth).items():
                if 'loss' in name:
                    sums[name] = sums.get(name, 0) + value.detach() / len(groups)
        for value in sums.values():
            all_reduce(value, op='mean')
        return sums
