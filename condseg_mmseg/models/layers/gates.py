"""Channel and spatial gates (CBAM's two halves, used apart)."""

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn


class ChannelGate(BaseModule):
    """Scale every channel by a weight from its global average and maximum.

    ``x * sigmoid(mlp(avg(x)) + mlp(max(x)))`` with one shared bottleneck C -> C // ratio -> C of
    bias-free 1x1 convolutions (method of CBAM, arXiv 1807.06521, equation 2).

    Args:
        channels: Channels C of the map.
        ratio: Reduction of the bottleneck, whose width is at least 1. Default 16.
        init_cfg: mmengine's. Default None.

    Shapes:
        input and output (N, C, H, W).
    """

    def __init__(self, channels: int, ratio: int = 16, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        hidden = max(1, channels // ratio)
        self.mlp = nn.Sequential(
            nn.Conv2d(channels, hidden, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(hidden, channels, 1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Gate ``x`` (N, C, H, W)."""
        average = x.mean((2, 3), keepdim=True)
        peak = x.amax((2, 3), keepdim=True)
        return x * torch.sigmoid(self.mlp(average) + self.mlp(peak))


class SpatialGate(BaseModule):
    """Scale every pixel by a weight from the mean and maximum over its channels.

    ``x * sigmoid(conv(cat(mean_c(x), max_c(x))))`` with a bias-free convolution to one map (method
    of CBAM, arXiv 1807.06521, equation 3).

    Args:
        kernel_size: Odd size of the convolution in pixels. Default 7.
        init_cfg: mmengine's. Default None.

    Shapes:
        input and output (N, C, H, W).
    """

    def __init__(self, kernel_size: int = 7, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Gate ``x`` (N, C, H, W)."""
        pooled = torch.cat((x.mean(1, keepdim=True), x.amax(1, keepdim=True)), 1)
        return x * torch.sigmoid(self.conv(pooled))
