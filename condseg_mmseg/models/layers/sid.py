"""Semantic Information Decoupling: the deepest map split three ways, and its way up."""

from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from .defaults import BN, RELU
from .resize import resize_to


@MODELS.register_module()
class SemanticInformationDecoupling(BaseModule):
    """Split the deepest encoder map into foreground, background and uncertainty maps.

    Paper, section "Semantic Information Decoupling"::

        x4 -+- 3x3 CBR -> 3x3 CBR -> 1x1 CBR -> fg
            +- 3x3 CBR -> 3x3 CBR -> 1x1 CBR -> bg
            +- 3x3 CBR -> 3x3 CBR -> 1x1 CBR -> uc      (only with ``with_uncertainty``)

    Args:
        in_channels: Channels of x4.
        channels: Channels C of the results.
        mid_channels: Width after the first convolution. Default None, half of ``in_channels``
            (512 for ResNet-50; the paper's PVT variant has 256 of 512).
        with_uncertainty: Whether the third branch is built. Default True.
        norm_cfg: Normalisation. Default BN.
        act_cfg: Activation. Default ReLU.
        init_cfg: mmengine's. Default None.

    Shapes:
        input (N, in_channels, h, w), each result (N, C, h, w).
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        mid_channels: int | None = None,
        with_uncertainty: bool = True,
        norm_cfg: dict = BN,
        act_cfg: dict = RELU,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        mid_channels = max(1, in_channels // 2) if mid_channels is None else mid_channels
        cfg = {'norm_cfg': norm_cfg, 'act_cfg': act_cfg}

        def branch() -> nn.Sequential:
            return nn.Sequential(
                ConvModule(in_channels, mid_channels, 3, padding=1, **cfg),
                ConvModule(mid_channels, channels, 3, padding=1, **cfg),
                ConvModule(channels, channels, 1, **cfg),
            )

        self.foreground, self.background = branch(), branch()
        self.uncertainty = branch() if with_uncertainty else None

    def forward(self, x: Tensor, uncertainty: bool = True) -> tuple[Tensor, Tensor, Tensor | None]:
        """Decouple ``x``.

        Args:
            x: Deepest encoder map, (N, in_channels, h, w).
            uncertainty: Whether to compute the third map if it is built. Default True.

        Returns:
            fg, bg and uc, each (N, C, h, w); uc is None where it is not built or not asked for.
        """
        third = self.uncertainty(x) if uncertainty and self.uncertainty is not None else None
        return self.foreground(x), self.background(x), third


class SIDAdapter(BaseModule):
    """Bring a SID map from the coarsest level to a finer one.

    3x3 CBR at the coarsest size, then for each level on the way up: resize to that level's size,
    3x3 CBR. With levels a factor 2 apart this is the paper's chain of x2 up-samplings.

    Args:
        channels: Channels C, kept.
        num_steps: Levels between the coarsest and the target; 0 stays at the coarsest.
        align_corners: For the resize. Default True.
        norm_cfg: Normalisation. Default BN.
        act_cfg: Activation. Default ReLU.
        init_cfg: mmengine's. Default None.

    Shapes:
        input (N, C, h, w), output (N, C, H, W) with the last of ``sizes``.
    """

    def __init__(
        self,
        channels: int,
        num_steps: int,
        align_corners: bool = True,
        norm_cfg: dict = BN,
        act_cfg: dict = RELU,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.align_corners = align_corners
        cfg = {'norm_cfg': norm_cfg, 'act_cfg': act_cfg}
        self.convs = nn.ModuleList(
            ConvModule(channels, channels, 3, padding=1, **cfg) for _ in range(num_steps + 1)
        )

    def forward(self, x: Tensor, sizes: list[tuple[int, int]]) -> Tensor:
        """Adapt ``x``.

        Args:
            x: SID map, (N, C, h, w).
            sizes: Height and width of each level on the way, coarse to fine, the target last;
                ``num_steps`` of them.

        Returns:
            (N, C, H, W).
        """
        x = self.convs[0](x)
        for conv, size in zip(self.convs[1:], sizes, strict=True):
            x = conv(resize_to(x, size, self.align_corners))
        return x
