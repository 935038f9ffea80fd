"""The light head that trains the encoder in stage 1."""

from collections.abc import Sequence
from typing import Any

import torch
from mmcv.cnn import ConvModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..layers import resize_to
from ..layers.defaults import BN, RELU
from ..layers.rewrites import levels_before_resize, rewritten
from .multi_level_head import MultiLevelDecodeHead


@MODELS.register_module()
class EncoderFusionHead(MultiLevelDecodeHead):
    """Bring every level to full resolution and mix them in one 1x1 convolution.

    Method section 6, "Stage 1"::

        x1 -> up -> 1x1 CBR --+
        x2 -> up -> 1x1 CBR --+- cat -> 1x1 conv without bias -> logits
        x3 -> up -> 1x1 CBR --+
        x4 -> up -> 1x1 CBR --+

    On a CPU the 1x1 convolutions run before the up-sampling, with which they commute: 1/4 (stride
    2) to 1/256 (stride 16) of the multiplications (:mod:`..layers.rewrites`).

    Args:
        in_channels: Channels of each level, finest first; one level or more. Default ResNet-50's
            with its stem, ``(64, 256, 512, 1024)``.
        channels: Width of each level. Default 64.
        norm_cfg: Normalisation. Default BN.
        act_cfg: Activation. Default ReLU.
        **kwargs: The other arguments of :class:`MultiLevelDecodeHead`, which also gives the loss.

    Shapes:
        inputs (N, in_channels[i], H_i, W_i); logits (N, out_channels, final_upsample * H_1,
        final_upsample * W_1). ``loss`` and ``predict`` resize them to the label and to the image.

    Raises:
        ValueError: What :class:`MultiLevelDecodeHead` refuses.
    """

    def __init__(
        self,
        in_channels: Sequence[int] = (64, 256, 512, 1024),
        channels: int = 64,
        *,
        norm_cfg: dict | None = BN,
        act_cfg: dict | None = RELU,
        **kwargs: Any,
    ) -> None:
        cfg: dict[str, Any] = {'norm_cfg': norm_cfg, 'act_cfg': act_cfg}
        super().__init__(in_channels, channels, **cfg, **kwargs)
        # a bias would still commute (the weights of an interpolation sum to 1), but BN removes it
        self.levels = nn.ModuleList(
            ConvModule(width, channels, 1, bias=False, **cfg) for width in self.in_channels
        )
        self.conv_seg = nn.Conv2d(len(self.levels) * channels, self.out_channels, 1, bias=False)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Mix the levels (picked by ``in_index``) into logits; see the class for shapes."""
        maps = self._transform_inputs(inputs)
        return self.fuse_levels(maps, self._full_size(maps[0]))

    @rewritten(levels_before_resize, 'levels', 'conv_seg')
    def fuse_levels(self, maps: list[Tensor], size: tuple[int, int], /) -> Tensor:
        """Logits (N, out_channels, *size) of the maps of all levels."""
        maps = [
            level(resize_to(x, size, self.align_corners))
            for level, x in zip(self.levels, maps, strict=True)
        ]
        return self.cls_seg(torch.cat(maps, 1))
