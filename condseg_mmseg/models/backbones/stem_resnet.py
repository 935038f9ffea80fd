"""ResNet that also returns its stem."""

from typing import Any

from mmseg.models.backbones import ResNet
from mmseg.registry import MODELS
from torch import Tensor

from .out_indices import check_out_indices


@MODELS.register_module()
class StemResNet(ResNet):
    """mmseg's ResNet with the stem as the finest output and, by default, without the last stage.

    ConDSeg reads the map after conv1 + bn1 + relu (stride 2, before the max-pool) besides the
    stages (paper, section "Overall Architecture"). State dict and arguments are those of
    :class:`mmseg.models.ResNet`, so ImageNet weights load as they are.

    Args:
        depth: 18, 34, 50, 101 or 152. Default 50.
        num_stages: Residual stages built, 1..4. Default None: up to the last of ``out_indices``, or
            3 where those are not given either.
        strides: Stride of each stage. Default ``(1, 2, 2, 2)[:num_stages]``.
        dilations: Dilation of each stage. Default ``(1, 1, 1, 1)[:num_stages]``.
        out_indices: Maps returned, ascending: 0 is the stem, i is stage i. Default
            ``(0, ..., num_stages)``.
        **kwargs: The other arguments of :class:`mmseg.models.ResNet`.

    Shapes:
        input (N, in_channels, H, W). Output with the defaults: x1 (N, 64, H/2, W/2),
        x2 (N, 256, H/4, W/4), x3 (N, 512, H/8, W/8), x4 (N, 1024, H/16, W/16), all rounded up;
        depth 18 and 34 have 64, 64, 128, 256 channels.

    Raises:
        ValueError: ``out_indices`` is empty, not ascending, or names a stage that is not built.
    """

    def __init__(
        self,
        depth: int = 50,
        num_stages: int | None = None,
        strides: tuple[int, ...] | None = None,
        dilations: tuple[int, ...] | None = None,
        out_indices: tuple[int, ...] | None = None,
        **kwargs: Any,
    ) -> None:
        if num_stages is None:
            num_stages = min(4, max(1, *out_indices)) if out_indices else 3
        every = range(num_stages + 1)
        indices = check_out_indices(every if out_indices is None else out_indices, num_stages)
        super().__init__(
            depth=depth,
            num_stages=num_stages,
            strides=tuple(strides or (1, 2, 2, 2)[:num_stages]),
            dilations=tuple(dilations or (1, 1, 1, 1)[:num_stages]),
            out_indices=tuple(range(num_stages)),
            **kwargs,
        )
        self.out_indices = indices

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Encode ``x`` (N, in_channels, H, W) into the maps of ``out_indices``, finest first."""
        x = self.stem(x) if self.deep_stem else self.relu(self.norm1(self.conv1(x)))
        maps = [x]
        x = self.maxpool(x)
        for name in self.res_layers:
            x = getattr(self, name)(x)
            maps.append(x)
        return tuple(maps[i] for i in self.out_indices)

    def train(self, mode: bool = True) -> 'StemResNet':
        """Set the mode, keeping frozen stages in eval, and return self (mmseg's returns None)."""
        super().train(mode)
        return self
