"""The decoder of PraNet as an mmseg decode head."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..layers import resize_to
from ..layers.defaults import BN
from .side_loss_head import SideLossDecodeHead


class ReceptiveFieldBlock(BaseModule):
    """RFB of PraNet: four branches whose receptive fields grow, and a shortcut.

    Branch k = 0, 1, 2, 3 is a 1x1 convolution and, for k > 0, 1 x (2k+1), (2k+1) x 1 and a 3x3 of
    dilation 2k+1; each convolution has BatchNorm and no activation. Concatenation, 3x3, plus a 1x1
    of the input, ReLU.

    Args:
        in_channels: Channels of the input.
        channels: Width C.
        norm_cfg: Normalisation. Default BN.
        init_cfg: mmengine's. Default None.

    Shapes:
        (N, in_channels, h, w) to (N, C, h, w).
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        norm_cfg: dict | None = BN,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        conv = partial(ConvModule, norm_cfg=norm_cfg, act_cfg=None)
        self.branches = nn.ModuleList([conv(in_channels, channels, 1)])
        for k in (3, 5, 7):
            self.branches.append(
                nn.Sequential(
                    conv(in_channels, channels, 1),
                    conv(channels, channels, (1, k), padding=(0, k // 2)),
                    conv(channels, channels, (k, 1), padding=(k // 2, 0)),
                    conv(channels, channels, 3, padding=k, dilation=k),
                )
            )
        self.merge = conv(4 * channels, channels, 3, padding=1)
        self.shortcut = conv(in_channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Widen the receptive field of ``x``."""
        merged = self.merge(torch.cat([branch(x) for branch in self.branches], 1))
        return F.relu(merged + self.shortcut(x))


class ParallelPartialDecoder(BaseModule):
    """Aggregate levels into one coarse map of logits at the size of the finest (Wu et al., 2019).

    From the coarsest level on, ``c`` being convolutions with BatchNorm::

        p_i = x_i * product over coarser k of c(up(x_k))
        q_i = c(cat(p_i, c(up(q_{i+1}))))                      (q of the coarsest is its x)

    and a 3x3 and a 1x1 convolution of the finest q. q has C channels on the coarsest level and C
    more with each finer one.

    Args:
        levels: Number of levels, two or more.
        channels: Channels C of each.
        out_channels: Logit maps.
        norm_cfg: Normalisation. Default BN.
        align_corners: For every resize. Default True.
        init_cfg: mmengine's. Default None.

    Shapes:
        levels (N, C, H_i, W_i), finest first, to (N, out_channels, H_1, W_1).
    """

    def __init__(
        self,
        levels: int,
        channels: int,
        out_channels: int,
        norm_cfg: dict | None = BN,
        align_corners: bool = True,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.align_corners = align_corners

        def conv(number: int) -> ConvModule:
            width = number * channels
            return ConvModule(width, width, 3, padding=1, norm_cfg=norm_cfg, act_cfg=None)

        # for each level but the coarsest, coarse to fine
        self.factors = nn.ModuleList(
            nn.ModuleList(conv(1) for _ in range(coarser)) for coarser in range(1, levels)
        )
        self.ups = nn.ModuleList(conv(number) for number in range(1, levels))
        self.merges = nn.ModuleList(conv(number + 1) for number in range(1, levels))
        self.last = nn.Sequential(conv(levels), nn.Conv2d(levels * channels, out_channels, 1))

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Aggregate ``levels``, finest first."""
        coarse_first = levels[::-1]
        q = coarse_first[0]
        parts = zip(coarse_first[1:], self.factors, self.ups, self.merges, strict=True)
        factors: Any  # a list of modules
        for number, (x, factors, up, merge) in enumerate(parts, 1):
            size, p = x.shape[-2:], x
            for factor, coarser in zip(factors, coarse_first[:number], strict=True):
                p = p * factor(resize_to(coarser, size, self.align_corners))
            q = merge(torch.cat((p, up(resize_to(q, size, self.align_corners))), 1))
        return self.last(q)


class ReverseAttention(BaseModule):
    """Refine a coarse map of logits where it is not yet foreground (PraNet, section 2.2).

    ``coarse + convs((1 - sigmoid(coarse)) * x)``: a 1x1 convolution to the width, then 3x3 or 5x5
    ones, and one to the logits, as the released code has them.

    Args:
        in_channels: Channels of the level.
        channels: Width.
        num_convs: Convolutions between the first and the last one.
        kernel_size: Of those.
        last_kernel_size: Of the last one.
        norm_cfg: Normalisation. Default BN.
        align_corners: For the resize. Default True.
        init_cfg: mmengine's. Default None.

    Shapes:
        x (N, in_channels, h, w) and coarse (N, 1, h', w') to (N, 1, h, w).
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        num_convs: int,
        kernel_size: int,
        last_kernel_size: int,
        norm_cfg: dict | None = BN,
        align_corners: bool = True,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.align_corners = align_corners
        pad, last_pad = kernel_size // 2, last_kernel_size // 2
        linear: dict[str, Any] = {
            'norm_cfg': norm_cfg,
            'act_cfg': None,
        }  # BatchNorm and no activation, as released
        self.convs = nn.Sequential(
            ConvModule(in_channels, channels, 1, **linear),
            *(
                ConvModule(channels, channels, kernel_size, padding=pad, norm_cfg=norm_cfg)
                for _ in range(num_convs)
            ),
            ConvModule(channels, 1, last_kernel_size, padding=last_pad, **linear),
        )

    def forward(self, x: Tensor, coarse: Tensor) -> Tensor:
        """Refine a coarse map.

        Args:
            x: Level, (N, in_channels, h, w).
            coarse: Logits of any size, (N, 1, h', w'), which are resized to that of ``x``.

        Returns:
            Logits, (N, 1, h, w).
        """
        coarse = resize_to(coarse, x.shape[-2:], self.align_corners)
        return coarse + self.convs((1 - coarse.sigmoid()) * x)


@MODELS.register_module()
class PraNetHead(SideLossDecodeHead):
    """Parallel partial decoder and reverse attention (Fan et al., PraNet, MICCAI 2020).

    On the three deep levels of five, strides 8, 16 and 32::

        x3 -> RFB --+
        x4 -> RFB --+- partial decoder -> S_g --------------------------------+
        x5 -> RFB --+                                                         |
        x5 ------------------------- reverse attention <- resize -------------+
                                       | S_5
        x4 ------------------------- reverse attention
                                       | S_4
        x3 ------------------------- reverse attention -> S_3, the prediction

    S_g, S_5, S_4 and S_3 are resized to the label and each gets the loss (side maps 0, 1, 2 and the
    prediction). The paper's loss weights the rim; here ``loss_decode`` decides.

    Args:
        in_channels: Channels of each level, finest first; two levels or more. Default those of
            ResNet-50, ``(512, 1024, 2048)``.
        channels: Width of the RFBs and of the partial decoder. Default 32.
        reverse_channels: Width of the reverse attention of each level, finest first. Default None:
            as the released code, 256 on the coarsest level, 64 on the others. The coarsest has
            three 5x5 convolutions, the others two 3x3 ones.
        norm_cfg: Normalisation. Default BN.
        **kwargs: The other arguments of :class:`MultiLevelDecodeHead`, which also gives the loss
            (``align_corners``, True, is for every resize; the released code has it in the partial
            decoder only). ``final_upsample`` and ``dropout_ratio`` are not used: the logits have
            the size of the finest level.

    Shapes:
        inputs (N, in_channels[i], H_i, W_i) of any strides; logits (N, 1, H_1, W_1). ``loss`` and
        ``predict`` resize them to the label and to the image.

    Raises:
        ValueError: Less than two levels, more than one logit map (the attention is that of one
            foreground), ``reverse_channels`` of another length, or what
            :class:`SideLossDecodeHead` and :class:`MultiLevelDecodeHead` refuse.
    """

    def __init__(
        self,
        in_channels: Sequence[int] = (512, 1024, 2048),
        channels: int = 32,
        *,
        reverse_channels: Sequence[int] | None = None,
        norm_cfg: dict | None = BN,
        **kwargs: Any,
    ) -> None:
        super().__init__(in_channels, channels, norm_cfg=norm_cfg, **kwargs)
        number = len(self.in_channels)
        if number < 2:
            raise ValueError(
                f'PraNetHead decodes two levels or more, got in_channels={in_channels}'
            )
        if self.out_channels != 1:
            raise ValueError(
                'PraNetHead separates one foreground: it needs num_classes=2 and out_channels=1, '
                f'got out_channels={self.out_channels}'
            )
        if reverse_channels is None:
            reverse_channels = (64,) * (number - 1) + (256,)
        if len(reverse_channels) != number:
            raise ValueError(
                f'reverse_channels must have one entry for each of in_channels={in_channels}, '
                f'got {reverse_channels}'
            )
        cfg: dict[str, Any] = {'norm_cfg': norm_cfg, 'align_corners': self.align_corners}
        self.fields = nn.ModuleList(
            ReceptiveFieldBlock(width, channels, norm_cfg) for width in self.in_channels
        )
        self.partial_decoder = ParallelPartialDecoder(number, channels, 1, **cfg)
        shapes = [(2, 3, 3)] * (number - 1) + [(3, 5, 1)]  # convolutions and their kernels
        self.reverse = nn.ModuleList(
            ReverseAttention(width, inner, *shape, **cfg)
            for width, inner, shape in zip(self.in_channels, reverse_channels, shapes, strict=True)
        )
        del self.conv_seg  # each branch ends in a convolution of its own

    def all_logits(self, levels: list[Tensor]) -> list[Tensor]:
        """Return S_g, then the refined maps from the coarsest level to the finest."""
        fields = [field(x) for field, x in zip(self.fields, levels, strict=True)]
        maps = [self.partial_decoder(fields)]
        for attention, x in zip(self.reverse[::-1], levels[::-1], strict=True):
            maps.append(attention(x, maps[-1]))
        return maps
