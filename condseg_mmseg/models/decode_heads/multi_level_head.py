"""What our decode heads share: several levels in, defaults, what they refuse, their loss."""

from collections.abc import Sequence
from typing import Any

from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.losses import DiceLoss, accuracy
from mmseg.structures.sampler import OHEMPixelSampler
from mmseg.utils import SampleList
from torch import Tensor, nn

from ..layers import resize_to
from ..layers.defaults import BN, RELU
from ..losses import BCEDiceLoss
from ..losses.functional import binary_dice
from ..losses.labels import check_labels


class MultiLevelDecodeHead(BaseDecodeHead):
    """Base of decode heads that read several levels and give one logit map, or one a class.

    With ``num_classes=2`` there is one logit map and a sigmoid (``out_channels=1`` and, where mmseg
    would take 0.3, ``threshold=0.5``); with more classes one map a class and a softmax.
    ``loss`` logs ``loss_mask`` (the ``loss_name`` of ``loss_decode``) and, for one channel, the
    detached ``dice`` of the thresholded prediction over the batch; mmseg's ``acc_seg`` only with
    more classes (for one channel it is the share of background). A subclass gives ``conv_seg`` and
    ``forward``.

    Args:
        in_channels: Channels of each level, finest first.
        channels: Width of the head.
        final_upsample: Size of the logits over that of the finest level: 2 where it has stride 2,
            4 for stride 4 (PVT). Default 2.
        num_classes: Classes with the background, 2 or more. Default 2.
        out_channels: Logit maps. Default None: 1 for two classes, else ``num_classes``.
        threshold: On the sigmoid for one channel, between 0 and 1. Default None: 0.5 for one
            channel.
        in_index: Which of the inputs are the levels. Default None: the first ones, in order.
        dropout_ratio: Before the last convolution. Default 0.
        loss_decode: Loss or losses. Default ``BCEDiceLoss``, named ``loss_mask``.
        align_corners: For every resize. Default True (released code).
        norm_cfg: Normalisation. Default BN.
        act_cfg: Activation. Default ReLU.
        init_cfg: mmengine's. Default None, which leaves the last convolution to torch as in the
            released code: with the N(0, 0.01) of mmseg's heads a small network trained from scratch
            can stay at an empty mask.
        **kwargs: The other arguments of mmseg's ``BaseDecodeHead``.

    Raises:
        ValueError: ``in_channels`` and ``in_index`` differ in length; ``num_classes``,
            ``out_channels`` or ``threshold`` outside what is said above; mmseg's ``DiceLoss`` after
            one channel (it is inverted there: a perfect prediction costs 0.9999);
            ``OHEMPixelSampler`` with ``thresh`` after one channel (it takes a softmax over the
            channels), or without it where every loss is a ``BCEDiceLoss`` (it sorts the losses of
            the pixels); and, in ``loss``, a label outside the classes and 255, or soft labels with
            more than one logit map.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int,
        *,
        final_upsample: int = 2,
        num_classes: int = 2,
        out_channels: int | None = None,
        threshold: float | None = None,
        in_index: Sequence[int] | None = None,
        dropout_ratio: float = 0.0,
        loss_decode: dict | Sequence[dict] | None = None,
        align_corners: bool = True,
        norm_cfg: dict | None = BN,
        act_cfg: dict | None = RELU,
        init_cfg: dict | list | None = None,
        **kwargs: Any,
    ) -> None:
        if isinstance(in_channels, int) or len(in_channels) == 0:
            raise ValueError(
                f'in_channels must name the channels of each level, finest first, got {in_channels}'
            )
        if in_index is None:
            in_index = range(len(in_channels))
        if isinstance(in_index, int) or len(in_index) != len(in_channels):
            raise ValueError(
                f'in_index must have one entry for each of in_channels={in_channels}, '
                f'got {in_index}'
            )
        if num_classes < 2:
            raise ValueError(
                f'num_classes counts the background and is 2 or more, got num_classes={num_classes}'
            )
        if out_channels is None:
            out_channels = 1 if num_classes == 2 else num_classes
        if out_channels == 1 and num_classes != 2:
            raise ValueError(f'out_channels=1 needs num_classes=2, got {num_classes}')
        if out_channels == 1 and threshold is None:
            threshold = 0.5
        if threshold is not None and not 0 < threshold < 1:
            raise ValueError(f'threshold is on a probability, between 0 and 1, got {threshold}')
        if loss_decode is None:
            loss_decode = {'type': 'mmseg.BCEDiceLoss', 'use_sigmoid': out_channels == 1}
        super().__init__(
            list(in_channels),
            channels,
            num_classes=num_classes,
            out_channels=out_channels,
            threshold=threshold,
            in_index=list(in_index),
            input_transform='multiple_select',
            dropout_ratio=dropout_ratio,
            loss_decode=loss_decode,
            align_corners=align_corners,
            norm_cfg=norm_cfg,
            act_cfg=act_cfg,
            init_cfg=init_cfg,
            **kwargs,
        )
        if out_channels == 1 and any(isinstance(m, DiceLoss) for m in self._losses()):
            raise ValueError(
                "mmseg's DiceLoss is inverted for one-channel heads (a perfect prediction costs "
                "0.9999): use loss_decode=dict(type='BCEDiceLoss'), or out_channels=2"
            )
        for module in self._losses():
            if isinstance(module, BCEDiceLoss) and module.use_sigmoid != (out_channels == 1):
                raise ValueError(
                    f'out_channels={out_channels} needs '
                    f'BCEDiceLoss(use_sigmoid={out_channels == 1})'
                )
        if isinstance(self.sampler, OHEMPixelSampler):
            self._check_sampler(self.sampler.thresh)
        self.final_upsample = final_upsample

    def _check_sampler(self, thresh: float | None) -> None:
        if thresh is not None and self.out_channels == 1:
            raise ValueError(
                f'OHEMPixelSampler(thresh={thresh}) takes a softmax over the channels and cannot '
                'work on one: leave thresh out and use a loss of each pixel '
                "(loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=True)), or set "
                'out_channels=2'
            )
        if thresh is None and all(isinstance(m, BCEDiceLoss) for m in self._losses()):
            raise ValueError(
                'OHEMPixelSampler without thresh sorts the loss of each pixel, and BCEDiceLoss is '
                'one number for the batch: use CrossEntropyLoss, or both in a list'
            )

    def _losses(self) -> list[nn.Module]:
        many = isinstance(self.loss_decode, nn.ModuleList)
        return list(self.loss_decode) if many else [self.loss_decode]

    def _full_size(self, finest: Tensor) -> tuple[int, int]:
        """Height and width of the logits, from those of the finest level (N, C, h, w)."""
        height, width = finest.shape[-2:]
        return self.final_upsample * height, self.final_upsample * width

    def loss_by_feat(self, seg_logits: Tensor, batch_data_samples: SampleList) -> dict[str, Tensor]:
        """Compute the losses on logits resized to the labels.

        Args:
            seg_logits: (N, out_channels, h, w).
            batch_data_samples: Samples with ``gt_sem_seg`` (1, H, W): class indices or, for one
                logit map, floating values in [0, 1]; 255 ignored.

        Returns:
            Name -> loss (scalar), plus detached figures whose name does not contain 'loss'.
        """
        label = self._stack_batch_gt(batch_data_samples)  # (N, 1, H, W)
        check_labels(label, self.num_classes, self.ignore_index, self.out_channels)
        seg_logits = resize_to(seg_logits, label.shape[-2:], self.align_corners)
        weight = None if self.sampler is None else self.sampler.sample(seg_logits, label)
        label = label.squeeze(1)
        losses: dict[str, Tensor] = {}
        for module in self._losses():
            value = module(seg_logits, label, weight=weight, ignore_index=self.ignore_index)
            name = str(module.loss_name)
            losses[name] = losses[name] + value if name in losses else value
        if self.out_channels == 1:
            losses['dice'] = binary_dice(seg_logits, label, self.threshold, self.ignore_index)
        else:
            losses['acc_seg'] = accuracy(seg_logits, label, ignore_index=self.ignore_index)
        return losses
