"""The decoders of U-Net and U-Net++ as one mmseg decode head."""

from collections.abc import Sequence
from typing import Any

import torch
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..layers import resize_to
from ..layers.defaults import BN, RELU
from .side_loss_head import SideLossDecodeHead


class UNetNode(BaseModule):
    """One node of the decoder: 2x2 up-convolution, concatenation, twice a 3x3 CBR.

    Args:
        in_channels: Channels of the coarser map.
        skip_channels: Channels of all maps of the node's own level together, 0 for none.
        channels: Width of the node.
        norm_cfg: Normalisation. Default BN; the papers have none.
        act_cfg: Activation. Default ReLU.
        init_cfg: mmengine's. Default None.

    Shapes:
        coarse (N, in_channels, h, w) and skips (N, c_k, H, W) to (N, channels, H, W).
    """

    def __init__(
        self,
        in_channels: int,
        skip_channels: int,
        channels: int,
        norm_cfg: dict | None = BN,
        act_cfg: dict | None = RELU,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        cfg: dict[str, Any] = {'padding': 1, 'norm_cfg': norm_cfg, 'act_cfg': act_cfg}
        self.up = nn.ConvTranspose2d(in_channels, channels, 2, stride=2)
        self.convs = nn.Sequential(
            ConvModule(channels + skip_channels, channels, 3, **cfg),
            ConvModule(channels, channels, 3, **cfg),
        )

    def forward(
        self, coarse: Tensor, skips: Sequence[Tensor], size: Sequence[int], align_corners: bool
    ) -> Tensor:
        """Merge ``coarse`` with ``skips`` at ``size``; resized where doubling does not give it."""
        up = resize_to(self.up(coarse), size, align_corners)
        return self.convs(torch.cat((*skips, up), 1))


@MODELS.register_module()
class UNetHead(SideLossDecodeHead):
    """The decoder of U-Net (Ronneberger et al., 2015) or U-Net++ (Zhou et al., 2018).

    Node (i, j) lies on level i, j steps from the encoder, whose maps x_i are column 0. It reads the
    level below, up-sampled, and its own. For four levels U-Net (``nested=False``) is the diagonal::

        x1 ------------------> (1,3) -> full size -> logits
        x2 -----------> (2,2) /
        x3 ----> (3,1) /
        x4 -----------/

    and U-Net++ (``nested=True``) the triangle, where a node reads all earlier ones of its level::

        x1 ----> (1,1) ----> (1,2) ----> (1,3) -> full size -> logits
        x2 -/--> (2,1) --/-> (2,2) --/
        x3 -/--> (3,1) --/
        x4 -/

    Both papers decode at strides 1 to 16. The finest map of a pretrained encoder has stride 2, so
    that the last node, at full size, reads no map of the encoder (``final_upsample=1`` leaves this
    node out).

    Differences from the papers: padded convolutions with BatchNorm, and resizing instead of
    cropping at odd sizes, as in every later implementation.

    Args:
        in_channels: Channels of each level, finest first; two levels or more. Default ResNet-50's
            with its stem, ``(64, 256, 512, 1024)``.
        channels: Width of the nodes of the finest level, which doubles with each level and is half
            at full size. Default 64 (U-Net++ at stride 2; U-Net has 128).
        nested: Whether this is U-Net++. Default False.
        deep_supervision: Whether the earlier nodes of the finest level of U-Net++ get a 1x1
            convolution and the loss too. The last node is the prediction in any case (the paper's
            "fast mode"). Default False.
        norm_cfg: Normalisation. Default BN.
        act_cfg: Activation. Default ReLU.
        **kwargs: The other arguments of :class:`MultiLevelDecodeHead`, which also gives the loss.

    Shapes:
        inputs (N, in_channels[i], H_i, W_i) of any strides; logits (N, out_channels,
        final_upsample * H_1, final_upsample * W_1).

    Raises:
        ValueError: Less than two levels, ``deep_supervision`` without ``nested``, or what
            :class:`SideLossDecodeHead` and :class:`MultiLevelDecodeHead` refuse.
    """

    def __init__(
        self,
        in_channels: Sequence[int] = (64, 256, 512, 1024),
        channels: int = 64,
        *,
        nested: bool = False,
        deep_supervision: bool = False,
        norm_cfg: dict | None = BN,
        act_cfg: dict | None = RELU,
        **kwargs: Any,
    ) -> None:
        cfg: dict[str, Any] = {'norm_cfg': norm_cfg, 'act_cfg': act_cfg}
        super().__init__(in_channels, channels, **cfg, **kwargs)
        depth = len(self.in_channels)
        if depth < 2:
            raise ValueError(f'UNetHead decodes two levels or more, got in_channels={in_channels}')
        if deep_supervision and not nested:
            raise ValueError('deep_supervision=True needs nested=True: U-Net has one output')
        self.nested = nested
        widths = [channels * 2**i for i in range(depth)]
        self.nodes = nn.ModuleDict()
        for i, j in self._order(depth):
            below = self.in_channels[i + 1] if j == 1 else widths[i + 1]
            skips = self.in_channels[i] + (j - 1) * widths[i] * nested
            self.nodes[f'{i}_{j}'] = UNetNode(below, skips, widths[i], **cfg)
        last = channels
        if self.final_upsample > 1:
            last = max(1, channels // 2)
            self.full_size = UNetNode(channels, 0, last, **cfg)
        self.conv_seg = nn.Conv2d(last, self.out_channels, 1)
        sides = range(depth - 2) if deep_supervision else ()
        self.side_convs = nn.ModuleList(nn.Conv2d(channels, self.out_channels, 1) for _ in sides)

    def _order(self, depth: int) -> list[tuple[int, int]]:
        """Level and column of each node, in the order in which they can be computed."""
        columns = [(i, j) for j in range(1, depth) for i in range(depth - j)]
        return columns if self.nested else [(i, j) for i, j in columns if i == depth - 1 - j]

    def all_logits(self, levels: list[Tensor]) -> list[Tensor]:
        """Decode the levels; see the class for shapes."""
        rows = [[x] for x in levels]  # the maps of each level, encoder first
        for i, j in self._order(len(levels)):
            node = self.nodes[f'{i}_{j}']
            rows[i].append(node(rows[i + 1][-1], rows[i], levels[i].shape[-2:], self.align_corners))
        last = rows[0][-1]
        if self.final_upsample > 1:
            last = self.full_size(last, (), self._full_size(levels[0]), self.align_corners)
        sides = zip(self.side_convs, rows[0][1:-1], strict=False)  # no convolutions: no sides
        return [*(conv(x) for conv, x in sides), self.cls_seg(last)]
