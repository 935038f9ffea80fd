"""Stage 1: one network, two views of each image, predictions that agree."""

from typing import Any

import torch
from mmseg.registry import MODELS
from mmseg.utils import OptSampleList, SampleList, add_prefix
from torch import Tensor

from ..layers import resize_to
from .val_loss import ValLossEncoderDecoder


@MODELS.register_module()
class ConsistencyReinforcement(ValLossEncoderDecoder):
    """Segmentor that learns from an image and a strong view of it (paper, stage 1).

    Both views go through the whole network, the clean one first and each by itself, so that
    BatchNorm takes the statistics of each::

                                             +-> [auxiliary_head]              aux.*
                                             |
        inputs --------> backbone -> [neck] -+-> decode_head -> M1: BCE-Dice   decode.*
                                                                |
                                                                L_cons         loss_consistency
                                                                |
        strong_inputs -> backbone -> [neck] ---> decode_head -> M2: BCE-Dice   strong.*

    The published stage 1 has :class:`EncoderFusionHead` and neither neck nor auxiliary head; with
    them the same class trains the whole of ConDSeg in one stage. The strong view comes from
    :class:`TwoViewSegDataPreProcessor`. Validation, prediction and ``mode='tensor'`` see the clean
    view only.

    Args:
        *args: As for mmseg's ``EncoderDecoder``. ``decode_head`` is any with one output channel,
            ``forward`` and ``loss_by_feat``.
        loss_consistency: Default ``dict(type='ConsistencyLoss')``.
        **kwargs: As for mmseg's ``EncoderDecoder``.

    Shapes:
        inputs, strong_inputs (N, 3, H, W).

    Raises:
        ValueError: A decode head of more than one output channel, or training without
            ``strong_inputs``.
    """

    def __init__(self, *args: Any, loss_consistency: dict | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.out_channels != 1:
            raise ValueError(
                'ConsistencyReinforcement compares masks of one channel, got a decode_head with '
                f'out_channels={self.out_channels}: set num_classes=2 and out_channels=1'
            )
        self.loss_consistency = MODELS.build(loss_consistency or {'type': 'mmseg.ConsistencyLoss'})

    def forward(
        self,
        inputs: Tensor,
        data_samples: OptSampleList = None,
        mode: str = 'tensor',
        strong_inputs: Tensor | None = None,
    ) -> dict[str, Tensor] | SampleList | Tensor:
        """As in mmseg's ``BaseSegmentor``, with the strong view for ``mode='loss'``.

        Args:
            inputs: The clean view, (N, 3, H, W).
            data_samples: Samples with ``gt_sem_seg``. Default None.
            mode: 'tensor', 'predict' or 'loss'. Default 'tensor'.
            strong_inputs: The strong view, (N, 3, H, W); only read for 'loss'. Default None.

        Returns:
            Logits, predictions or losses, by ``mode``.
        """
        if mode == 'loss':
            return self.loss(inputs, data_samples, strong_inputs)
        return super().forward(inputs, data_samples, mode)

    def loss(
        self, inputs: Tensor, data_samples: SampleList, strong_inputs: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Compute the losses of both views and of their agreement.

        Args:
            inputs: The clean view, (N, 3, H, W).
            data_samples: Samples with ``gt_sem_seg`` (1, H, W): 0, 1 or 255 (ignored).
            strong_inputs: The strong view, (N, 3, H, W).

        Returns:
            What the decode head reports under ``decode.`` (clean) and ``strong.``, the auxiliary
            head's under ``aux.`` (clean view only), and ``loss_consistency``.
        """
        if strong_inputs is None:
            raise ValueError(
                'ConsistencyReinforcement trains on two views and got no strong_inputs: set '
                "data_preprocessor=dict(type='TwoViewSegDataPreProcessor', ...)"
            )
        label = torch.stack([sample.gt_sem_seg.data for sample in data_samples])  # (N, 1, H, W)
        maps, losses = [], {}
        for prefix, view in (('decode', inputs), ('strong', strong_inputs)):
            features = self.extract_feat(view)
            # here and not in the head, as L_cons ignores the pixels that the labels ignore
            logits = self.decode_head.forward(features)
            logits = resize_to(logits, label.shape[2:], self.align_corners)
            terms = self.decode_head.loss_by_feat(logits, data_samples)
            losses.update(add_prefix(terms, prefix))
            if prefix == 'decode' and self.with_auxiliary_head:
                losses.update(self._auxiliary_head_forward_train(features, data_samples))
            maps.append(logits)
        losses[self.loss_consistency.loss_name] = self.loss_consistency(
            *maps, label.squeeze(1), ignore_index=self.decode_head.ignore_index
        )
        return losses
