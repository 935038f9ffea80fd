"""Size-Aware Decoder as an mmseg decode head."""

from collections.abc import Sequence
from typing import Any

import torch
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.losses import DiceLoss, accuracy
from mmseg.registry import MODELS
from mmseg.utils import SampleList
from torch import Tensor, nn

from ..layers import ChannelGate, SpatialGate, resize_to
from ..layers.defaults import BN, RELU
from ..losses import BCEDiceLoss
from ..losses.functional import binary_dice, check_labels


class SizeAwareBlock(BaseModule):
    """Merge two neighbouring levels into a map for objects of one size.

    Paper, section "Size-Aware Decoder"; every step adds all earlier ones::

        s1 = CBR1x1(cat(up(coarse), fine))
        s2 = relu(BN(3x3 s1) + s1)
        s3 = relu(BN(3x3 s2) + s2 + s1)
        s4 = relu(BN(1x1 s3) + s3 + s2 + s1) -> channel gate -> spatial gate

    Args:
        in_channels: Channels of coarse and fine map together.
        channels: Channels C of the result.
        norm_cfg: Normalisation. Default BN.
        act_cfg: Activation of the first step. Default ReLU.
        init_cfg: mmengine's. Default None.

    Shapes:
        coarse (N, c1, h, w) and fine (N, c2, H, W) to (N, C, H, W).
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        norm_cfg: dict = BN,
        act_cfg: dict = RELU,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        no_act = {'norm_cfg': norm_cfg, 'act_cfg': None}
        self.merge = ConvModule(in_channels, channels, 1, norm_cfg=norm_cfg, act_cfg=act_cfg)
        self.conv2 = ConvModule(channels, channels, 3, padding=1, **no_act)
        self.conv3 = ConvModule(channels, channels, 3, padding=1, **no_act)
        self.conv4 = ConvModule(channels, channels, 1, **no_act)
        self.gates = nn.Sequential(ChannelGate(channels), SpatialGate())

    def forward(self, coarse: Tensor, fine: Tensor, align_corners: bool = True) -> Tensor:
        """Merge ``coarse``, resized to the size of ``fine``, with ``fine``."""
        x = torch.cat((resize_to(coarse, fine.shape[-2:], align_corners), fine), 1)
        s1 = self.merge(x)
        s2 = torch.relu(self.conv2(s1) + s1)
        s3 = torch.relu(self.conv3(s2) + s2 + s1)
        s4 = torch.relu(self.conv4(s3) + s3 + s2 + s1)
        return self.gates(s4)


@MODELS.register_module()
class SizeAwareDecodeHead(BaseDecodeHead):
    """Decode four levels by pairs, one pair for each object size.

    Paper, section "Size-Aware Decoder"::

        f1, f2 -> block -> small ----------------+
        f2, f3 -> block -> middle -> up to f1 ---+- cat -> 3x3 CBR -> up -> 3x3 CBR -> 1x1 CBR
        f3, f4 -> block -> large  -> up to f1 ---+                          -> 1x1 conv -> logits

    With ``num_classes=2`` there is one logit map and a sigmoid (``out_channels=1`` and, where mmseg
    would take 0.3, ``threshold=0.5``); with more classes one map a class and a softmax.
    ``loss`` logs ``loss_mask`` (the ``loss_name`` of ``loss_decode``) and, for one channel, the
    detached ``dice`` of the thresholded prediction over the batch; mmseg's ``acc_seg`` only with
    more classes (for one channel it is the share of background).

    Args:
        in_channels: Channels of f1..f4, finest first. Default ``(128, 128, 128, 128)``.
        channels: Channels C of every block. Default 128.
        head_channels: Widths of the two convolutions at full resolution. Default ``(128, 64)``.
        final_upsample: Factor of the last up-sampling: 2 where the finest level has stride 2, 4 for
            stride 4 (PVT). Default 2.
        num_classes: Classes with the background. Default 2.
        out_channels: Logit maps. Default None: 1 for two classes, else ``num_classes``.
        threshold: On the sigmoid for one channel. Default None: 0.5 for one channel.
        in_index: Which of the inputs are f1..f4. Default ``(0, 1, 2, 3)``.
        dropout_ratio: Before the last convolution. Default 0.
        loss_decode: Loss or losses. Default ``BCEDiceLoss``, named ``loss_mask``.
        align_corners: For every resize. Default True (released code).
        norm_cfg: Normalisation. Default BN.
        act_cfg: Activation. Default ReLU.
        init_cfg: mmengine's. Default None, which leaves the last convolution to torch as in the
            released code: with the N(0, 0.01) of mmseg's heads a small network trained from scratch
            can stay at an empty mask.
        **kwargs: The other arguments of mmseg's ``BaseDecodeHead``.

    Shapes:
        inputs (N, in_channels[i], H_i, W_i); logits (N, out_channels, final_upsample * H_1,
        final_upsample * W_1). ``loss`` and ``predict`` resize them to the label and to the image.

    Raises:
        ValueError: Not four levels, mmseg's ``DiceLoss`` behind one channel (it is inverted there:
            a perfect prediction costs 0.9999), or a label outside the classes and 255.
    """

    def __init__(
        self,
        in_channels: Sequence[int] = (128, 128, 128, 128),
        channels: int = 128,
        *,
        head_channels: tuple[int, int] = (128, 64),
        final_upsample: int = 2,
        num_classes: int = 2,
        out_channels: int | None = None,
        threshold: float | None = None,
        in_index: Sequence[int] = (0, 1, 2, 3),
        dropout_ratio: float = 0.0,
        loss_decode: dict | Sequence[dict] | None = None,
        align_corners: bool = True,
        norm_cfg: dict = BN,
        act_cfg: dict = RELU,
        init_cfg: dict | list | None = None,
        **kwargs: Any,
    ) -> None:
        if isinstance(in_channels, int) or len(in_channels) != 4 or len(in_index) != 4:
            raise ValueError(
                'SizeAwareDecodeHead decodes four levels: in_channels and in_index must have four '
                f'entries, got in_channels={in_channels}, in_index={in_index}'
            )
        if out_channels is None:
            out_channels = 1 if num_classes == 2 else num_classes
        if out_channels == 1 and threshold is None:
            threshold = 0.5
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
        cfg = {'norm_cfg': norm_cfg, 'act_cfg': act_cfg}
        f1, f2, f3, f4 = self.in_channels
        self.small = SizeAwareBlock(f1 + f2, channels, **cfg)
        self.middle = SizeAwareBlock(f2 + f3, channels, **cfg)
        self.large = SizeAwareBlock(f3 + f4, channels, **cfg)
        self.final_upsample = final_upsample
        self.fuse = ConvModule(3 * channels, channels, 3, padding=1, **cfg)
        wide, narrow = head_channels
        self.refine = nn.Sequential(
            ConvModule(channels, wide, 3, padding=1, **cfg), ConvModule(wide, narrow, 1, **cfg)
        )
        self.conv_seg = nn.Conv2d(narrow, out_channels, 1)

    def _losses(self) -> list[nn.Module]:
        many = isinstance(self.loss_decode, nn.ModuleList)
        return list(self.loss_decode) if many else [self.loss_decode]

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Decode f1..f4 (picked by ``in_index``) into logits; see the class for shapes."""
        f1, f2, f3, f4 = self._transform_inputs(inputs)
        size = tuple(f1.shape[-2:])
        small = self.small(f2, f1, self.align_corners)
        middle = self.middle(f3, f2, self.align_corners)
        large = self.large(f4, f3, self.align_corners)
        merged = [small, *(resize_to(x, size, self.align_corners) for x in (middle, large))]
        x = self.fuse(torch.cat(merged, 1))
        full = tuple(self.final_upsample * s for s in size)
        return self.cls_seg(self.refine(resize_to(x, full, self.align_corners)))

    def loss_by_feat(self, seg_logits: Tensor, batch_data_samples: SampleList) -> dict[str, Tensor]:
        """Compute the losses on logits resized to the labels.

        Args:
            seg_logits: (N, out_channels, h, w).
            batch_data_samples: Samples with ``gt_sem_seg`` (1, H, W): class indices, 255 ignored.

        Returns:
            Name -> loss (scalar), plus detached figures whose name does not contain 'loss'.
        """
        label = self._stack_batch_gt(batch_data_samples)  # (N, 1, H, W)
        check_labels(label, self.num_classes, self.ignore_index)
        seg_logits = resize_to(seg_logits, label.shape[-2:], self.align_corners)
        weight = None if self.sampler is None else self.sampler.sample(seg_logits, label)
        label = label.squeeze(1)
        losses: dict[str, Tensor] = {}
        for module in self._losses():
            value = module(seg_logits, label, weight=weight, ignore_index=self.ignore_index)
            name = module.loss_name
            losses[name] = losses[name] + value if name in losses else value
        if self.out_channels == 1:
            losses['dice'] = binary_dice(seg_logits, label, self.threshold, self.ignore_index)
        else:
            losses['acc_seg'] = accuracy(seg_logits, label, ignore_index=self.ignore_index)
        return losses
