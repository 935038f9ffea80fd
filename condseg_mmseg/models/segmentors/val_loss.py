"""mmseg's EncoderDecoder that also computes the loss of validation images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.dist import all_reduce
from mmengine.structures import BaseDataElement, PixelData
from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from mmseg.utils import OptSampleList, SampleList
from torch import Tensor

from ..layers import resize_to
from .prediction import without_padding

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

    The loss is that of the logits which ``predict``, also a subclass's, hands to
    ``postprocess_result``, at the size that they have there.

    Args:
        *args: Those of :class:`mmseg.models.EncoderDecoder`.
        **kwargs: Those of :class:`mmseg.models.EncoderDecoder`.

    Shapes:
        as there; logits are compared with ``gt_sem_seg`` (1, H, W) of each sample at its own size.

    Raises:
        ValueError: A decode head whose loss needs more than the map it predicts, or
            ``memory_format='channels_last'``, which older configs name (:class:`ChannelsLastHook`).
        TypeError: In validation, a ``predict`` that hands another number of logit maps than of
            samples to ``postprocess_result``.
    """

    _logits: list[Tensor] | None = None  # one map a sample, in a validation with truths only

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # config files that older versions wrote name it; the contiguous format is torch's own
        layout = kwargs.pop('memory_format', 'contiguous_format')
        if layout != 'contiguous_format':
            raise ValueError(
                f'memory_format={layout!r} is no argument of the model any more: leave it out, and '
                "set default_hooks=dict(channels_last=dict(type='ChannelsLastHook'))"
            )
        super().__init__(*args, **kwargs)
        names = {base.__name__ for base in type(self.decode_head).__mro__}
        if names.intersection(_SEVERAL_MAPS):
            raise ValueError(
                f'{type(self.decode_head).__name__} has no loss of the one map that it predicts, '
                "and so no val_loss: use type='EncoderDecoder', and a schedule that watches a "
                "score (param_scheduler with monitor='image/mIoU', rule='greater')"
            )

    def val_step(self, data: dict) -> list:
        """Predict a batch, and append its loss where all its samples have a truth.

        Args:
            data: A batch of the validation dataloader: ``inputs`` and ``data_samples``.

        Returns:
            What ``predict`` returns and, last, ``BaseDataElement(loss={name: scalar})``, which
            mmengine's loop takes off again.
        """
        data = self.data_preprocessor(data, False)
        samples = data['data_samples']
        if not all('gt_sem_seg' in sample for sample in samples):
            return self._run_forward(data, mode='predict')
        logits: list[Tensor] = []
        self._logits = logits
        try:
            results = self._run_forward(data, mode='predict')
        finally:
            self._logits = None
        if len(logits) != len(samples):
            raise TypeError(
                f'{type(self).__name__}.predict handed {len(logits)} logit maps to '
                f'postprocess_result for {len(samples)} samples, and val_loss needs one for each: '
                'call self.postprocess_result(logits, data_samples) in it, or use a type without '
                "val_loss (type='EncoderDecoder')"
            )
        return [*results, BaseDataElement(loss=self._validation_loss(logits, samples))]

    def postprocess_result(
        self, seg_logits: Tensor, data_samples: OptSampleList = None
    ) -> SampleList:
        """As in mmseg's ``BaseSegmentor``; ``val_step`` reads the logits here."""
        if self._logits is not None:
            self._logits.extend(seg_logits)
        return super().postprocess_result(seg_logits, data_samples)

    def _validation_loss(self, logits: Sequence[Tensor], samples: SampleList) -> dict[str, Tensor]:
        """Losses of the decode head, of the whole batch if its labels have one size."""
        maps, labels = [], []
        for image, sample in zip(logits, samples, strict=True):
            label = sample.gt_sem_seg.data
            image = without_padding(image, sample.metainfo)
            maps.append(resize_to(image[None], label.shape[-2:], self.align_corners))
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
