"""The light head that trains the encoder in stage 1."""

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..layers import norm_act, resize_to
from ..layers.defaults import BN, RELU
from .multi_level_head import MultiLevelDecodeHead


@MODELS.register_module()
class EncoderFusionHead(MultiLevelDecodeHead):
    """Bring every level to full resolution and mix them in one 1x1 convolution.

    Method section "Stage 1". The released code up-samples every level first: its 1x1 convolution
    then takes 4 (stride 2) to 256 times (stride 16) the multiplications, on up to 1024 channels at
    full resolution. A 1x1 convolution without bias commutes with bilinear up-sampling, so here it
    comes first. BN and ReLU do not commute and stay behind, with the statistics of the full map::

        x1 -> 1x1 conv -> up -> BN -> ReLU --+
        x2 -> 1x1 conv -> up -> BN -> ReLU --+
        x3 -> 1x1 conv -> up -> BN -> ReLU --+- 1x1 conv without bias, a slice a level -> logits
        x4 -> 1x1 conv -> up -> BN -> ReLU --+

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
        cfg = {'norm_cfg': norm_cfg, 'act_cfg': act_cfg}
        super().__init__(in_channels, channels, **cfg, **kwargs)
        # a bias would still commute (the weights of an interpolation sum to 1), but BN removes it
        self.levels = nn.ModuleList(
            ConvModule(width, channels, 1, bias=False, **cfg) for width in self.in_channels
        )
        self.conv_seg = nn.Conv2d(len(self.levels) * channels, self.out_channels, 1, bias=False)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Mix the levels (picked by ``in_index``) into logits; see the class for shapes."""
        maps = self._transform_inputs(inputs)
        size = self._full_size(maps[0])
        logits = None
        # the sum over slices of the weight is the convolution of the concatenation, which at full
        # resolution would be the largest tensor of the network
        weights = self.conv_seg.weight.split(self.channels, dim=1)
        for level, x, weight in zip(self.levels, maps, weights, strict=True):
            x = resize_to(level.conv(x), size, self.align_corners)  # (N, channels, H, W)
            x = norm_act(level, x)
            if self.dropout is not None:
                x = self.dropout(x)
            part = F.conv2d(x, weight)
            logits = part if logits is None else logits + part
        return logits
