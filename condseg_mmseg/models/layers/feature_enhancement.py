"""Feature enhancement of one encoder level."""

import torch
from mmcv.cnn import ConvModule, build_activation_layer
from mmengine.model import BaseModule
from torch import Tensor, nn

from .defaults import BN, RELU
from .gates import ChannelGate, SpatialGate


class FeatureEnhancement(BaseModule):
    """Widen the receptive field of an encoder map and bring it to C channels.

    Method section "Feature enhancement"::

        x -+- 1x1 CBR        -> channel gate -+
           +- 3x3 CBR dil. 6  -> channel gate -+
           +- 3x3 CBR dil. 12 -> channel gate -+- concat -> 3x3 conv-BN -+- add -> ReLU -> spatial
           +- 3x3 CBR dil. 18 -> channel gate -+                         |          gate -> d
           +- 1x1 conv-BN (shortcut) ------------------------------------+

    Args:
        in_channels: Channels of x.
        channels: Channels C of every branch and of the result.
        dilations: Dilation of each 3x3 branch in pixels. Default ``(6, 12, 18)``.
        norm_cfg: Normalisation. Default BN.
        act_cfg: Activation. Default ReLU.
        init_cfg: mmengine's. Default None.

    Shapes:
        input (N, in_channels, H, W), output (N, C, H, W).
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        dilations: tuple[int, ...] = (6, 12, 18),
        norm_cfg: dict = BN,
        act_cfg: dict = RELU,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        plain = {'norm_cfg': norm_cfg, 'act_cfg': act_cfg}
        no_act = {'norm_cfg': norm_cfg, 'act_cfg': None}
        convs = [ConvModule(in_channels, channels, 1, **plain)]
        convs += [
            ConvModule(in_channels, channels, 3, padding=d, dilation=d, **plain) for d in dilations
        ]
        self.branches = nn.ModuleList(nn.Sequential(c, ChannelGate(channels)) for c in convs)
        self.fuse = ConvModule(len(convs) * channels, channels, 3, padding=1, **no_act)
        self.shortcut = ConvModule(in_channels, channels, 1, **no_act)
        self.act = build_activation_layer(act_cfg)
        self.gate = SpatialGate()

    def forward(self, x: Tensor) -> Tensor:
        """Enhance ``x`` (N, in_channels, H, W) to (N, C, H, W)."""
        fused = self.fuse(torch.cat([branch(x) for branch in self.branches], 1))
        return self.gate(self.act(fused + self.shortcut(x)))
