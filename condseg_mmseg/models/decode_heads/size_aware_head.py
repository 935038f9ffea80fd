"""Size-Aware Decoder as an mmseg decode head."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..layers import ChannelGate, SpatialGate, recompute, resize_to
from ..layers.defaults import BN, RELU
from ..layers.rewrites import merge_before_resize, rewritten
from .multi_level_head import MultiLevelDecodeHead


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
        """Merge ``coarse``, resized to the size of ``fine``, with ``fine``.

        Args:
            coarse: (N, c1, h, w).
            fine: (N, c2, H, W).
            align_corners: For the resize. Default True.

        Returns:
            (N, C, H, W).
        """
        s1 = self.merge_levels(coarse, fine, align_corners)
        s2 = F.relu(self.conv2(s1) + s1, inplace=True)
        s3 = F.relu(self.conv3(s2) + s2 + s1, inplace=True)
        s4 = F.relu(self.conv4(s3) + s3 + s2 + s1, inplace=True)
        return self.gates(s4)

    @rewritten(merge_before_resize, 'merge')
    def merge_levels(self, coarse: Tensor, fine: Tensor, align_corners: bool, /) -> Tensor:
        """Step s1."""
        coarse = resize_to(coarse, fine.shape[-2:], align_corners)
        return self.merge(torch.cat((coarse, fine), 1))


@MODELS.register_module()
class SizeAwareDecodeHead(MultiLevelDecodeHead):
    """Decode four levels by pairs, one pair for each object size.

    Paper, section "Size-Aware Decoder"::

        f1, f2 -> block -> small ----------------+
        f2, f3 -> block -> middle -> up to f1 ---+- cat -> 3x3 CBR -> up -> 3x3 CBR -> 1x1 CBR
        f3, f4 -> block -> large  -> up to f1 ---+                          -> 1x1 conv -> logits

    Args:
        in_channels: Channels of f1..f4, finest first. Default ``(128, 128, 128, 128)``.
        channels: Channels C of every block. Default 128.
        head_channels: Widths of the two convolutions at full resolution. Default ``(128, 64)``.
        in_index: Which of the inputs are f1..f4. Default ``(0, 1, 2, 3)``.
        with_cp: Whether the maps inside each block, and those at full resolution, are computed
            again in the backward pass instead of being kept: less memory, more time
            (docs/performance.md). Default False.
        norm_cfg: Normalisation. Default BN.
        act_cfg: Activation. Default ReLU.
        **kwargs: The other arguments of :class:`MultiLevelDecodeHead`, which also gives the loss.

    Shapes:
        inputs (N, in_channels[i], H_i, W_i); logits (N, out_channels, final_upsample * H_1,
        final_upsample * W_1). ``loss`` and ``predict`` resize them to the label and to the image.

    Raises:
        ValueError: Not four levels, or what :class:`MultiLevelDecodeHead` refuses.
    """

    def __init__(
        self,
        in_channels: Sequence[int] = (128, 128, 128, 128),
        channels: int = 128,
        *,
        head_channels: tuple[int, int] = (128, 64),
        in_index: Sequence[int] = (0, 1, 2, 3),
        with_cp: bool = False,
        norm_cfg: dict = BN,
        act_cfg: dict = RELU,
        **kwargs: Any,
    ) -> None:
        if isinstance(in_channels, int) or len(in_channels) != 4 or len(in_index) != 4:
            raise ValueError(
                'SizeAwareDecodeHead decodes four levels: in_channels and in_index must have four '
                f'entries, got in_channels={in_channels}, in_index={in_index}'
            )
        cfg: dict[str, Any] = {'norm_cfg': norm_cfg, 'act_cfg': act_cfg}
        super().__init__(in_channels, channels, in_index=in_index, **cfg, **kwargs)
        self.with_cp = with_cp
        f1, f2, f3, f4 = self.in_channels
        self.small = SizeAwareBlock(f1 + f2, channels, **cfg)
        self.middle = SizeAwareBlock(f2 + f3, channels, **cfg)
        self.large = SizeAwareBlock(f3 + f4, channels, **cfg)
        self.fuse = ConvModule(3 * channels, channels, 3, padding=1, **cfg)
        wide, narrow = head_channels
        self.refine = nn.Sequential(
            ConvModule(channels, wide, 3, padding=1, **cfg), ConvModule(wide, narrow, 1, **cfg)
        )
        self.conv_seg = nn.Conv2d(narrow, self.out_channels, 1)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Decode f1..f4 (picked by ``in_index``) into logits; see the class for shapes."""
        f1, f2, f3, f4 = self._transform_inputs(inputs)
        call = partial(recompute, with_cp=self.with_cp)
        small = call(self.small, f2, f1, self.align_corners)
        middle = call(self.middle, f3, f2, self.align_corners)
        large = call(self.large, f4, f3, self.align_corners)
        parts = (self.fuse, self.refine, self.conv_seg)
        return call(self._at_full_size, small, middle, large, modules=parts)

    def _at_full_size(self, small: Tensor, middle: Tensor, large: Tensor) -> Tensor:
        middle, large = (
            resize_to(x, small.shape[-2:], self.align_corners) for x in (middle, large)
        )
        x = self.fuse(torch.cat((small, middle, large), 1))
        x = resize_to(x, self._full_size(small), self.align_corners)
        return self.cls_seg(self.refine(x))
