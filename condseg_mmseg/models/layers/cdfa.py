"""Contrast-Driven Feature Aggregation of one level."""

import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from condseg_mmseg.ops import BACKENDS, outlook_aggregate

from .defaults import BN, RELU
from .rewrites import aggregate_by_products, rewritten


@MODELS.register_module()
class ContrastDrivenFeatureAggregation(BaseModule):
    """Aggregate features by weights drawn from foreground, then from background.

    Paper, section "Contrast-Driven Feature Aggregation"::

        x -> CBR -> CBR -> v -> outlook(weights of fg) -> proj -> outlook(weights of bg) -> proj
          -> CBR -> CBR -> f

    ``proj`` is one layer used twice. The released code takes fg first, the paper's equations bg
    first; ``attn_order`` chooses.

    Args:
        in_channels: Channels of x.
        channels: Channels C of fg, bg and the result.
        num_heads: Heads of the aggregation; divides C.
        kernel_size: Window size k in pixels, odd. Default 3.
        stride: Step between windows in pixels; fg and bg are averaged over stride x stride (ceil
            mode) before the weights. Default 1.
        padding: k // 2; no other value works. Default None, which is k // 2.
        attn_drop: Dropout of the weights after the softmax. Default 0.
        proj_drop: Dropout after ``proj``. Default 0.
        attn_order: ``('fg', 'bg')`` or ``('bg', 'fg')``. Default ``('fg', 'bg')``.
        backend: Of :func:`condseg_mmseg.ops.outlook_aggregate`. Default 'auto'.
        norm_cfg: Normalisation. Default BN.
        act_cfg: Activation. Default ReLU.
        init_cfg: mmengine's. Default None.

    Shapes:
        x (N, in_channels, H, W), fg and bg (N, C, H, W), result (N, C, H, W).

    Raises:
        ValueError: A number, order or backend that does not fit.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        num_heads: int,
        kernel_size: int = 3,
        stride: int = 1,
        padding: int | None = None,
        attn_drop: float = 0.0,
        proj_drop: float = 0.0,
        attn_order: tuple[str, str] = ('fg', 'bg'),
        backend: str = 'auto',
        norm_cfg: dict = BN,
        act_cfg: dict = RELU,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if num_heads < 1 or channels % num_heads:
            raise ValueError(f'num_heads must divide channels={channels}, got {num_heads}')
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f'kernel_size must be odd and >= 1, got {kernel_size}')
        if stride < 1:
            raise ValueError(f'stride must be >= 1, got {stride}')
        if padding not in (None, kernel_size // 2):
            raise ValueError(
                f'padding must be kernel_size // 2 = {kernel_size // 2} or None, got {padding}'
            )
        for name, value in (('attn_drop', attn_drop), ('proj_drop', proj_drop)):
            if not 0.0 <= value < 1.0:
                raise ValueError(f'{name} must be in [0, 1), got {value}')
        if sorted(attn_order) != ['bg', 'fg']:
            raise ValueError(f"attn_order must hold 'fg' and 'bg' once each, got {attn_order}")
        if backend not in BACKENDS:
            raise ValueError(f'backend must be one of {BACKENDS}, got {backend!r}')
        self.channels = channels
        self.num_heads = num_heads
        self.kernel_size = kernel_size
        self.stride = stride
        self.attn_drop = attn_drop
        self.attn_order = tuple(attn_order)
        self.backend = backend

        def two_convs(width: int) -> nn.Sequential:
            cfg = {'padding': 1, 'norm_cfg': norm_cfg, 'act_cfg': act_cfg}
            return nn.Sequential(
                ConvModule(width, channels, 3, **cfg), ConvModule(channels, channels, 3, **cfg)
            )

        weights = num_heads * kernel_size**4
        # the linear layers of the paper as 1x1 convolutions, so that maps stay channels first
        self.input_convs = two_convs(in_channels)
        self.value = nn.Conv2d(channels, channels, 1)
        self.attn_fg = nn.Conv2d(channels, weights, 1)
        self.attn_bg = nn.Conv2d(channels, weights, 1)
        self.proj = nn.Conv2d(channels, channels, 1)
        self.proj_drop = nn.Dropout(proj_drop)
        self.output_convs = two_convs(channels)

    def forward(self, x: Tensor, fg: Tensor, bg: Tensor) -> Tensor:
        """Aggregate ``x``.

        Args:
            x: Features, (N, in_channels, H, W).
            fg: Foreground map, (N, C, H, W).
            bg: Background map, (N, C, H, W).

        Returns:
            (N, C, H, W).

        Raises:
            ValueError: fg or bg do not have C channels and the size of x.
        """
        expected = (x.shape[0], self.channels, *x.shape[-2:])
        for name, guide in (('fg', fg), ('bg', bg)):
            if tuple(guide.shape) != expected:
                raise ValueError(f'{name} must have shape {expected}, got {tuple(guide.shape)}')
        return self.output_convs(self.aggregate_twice(self.input_convs(x), fg, bg))

    @rewritten(aggregate_by_products, 'value', 'attn_fg', 'attn_bg', 'proj')
    def aggregate_twice(self, x: Tensor, fg: Tensor, bg: Tensor, /) -> Tensor:
        """The steps from ``v`` to the second ``proj``; all maps (N, C, H, W)."""
        guides = {'fg': (fg, self.attn_fg), 'bg': (bg, self.attn_bg)}
        x = self.value(x)
        for name in self.attn_order:
            guide, attn = guides[name]
            mixed = self.outlook(x, attn(self.pool(guide)))
            x = self.proj_drop(self.proj(mixed))
        return x

    def outlook(self, values: Tensor, logits: Tensor) -> Tensor:
        """Mix ``values`` (N, C, H, W) by the weights of ``logits``, of the size of :meth:`pool`."""
        return outlook_aggregate(
            values,
            logits,
            self.num_heads,
            self.kernel_size,
            stride=self.stride,
            attn_drop=self.attn_drop,
            training=self.training,
            backend=self.backend,
        )

    def pool(self, guide: Tensor) -> Tensor:
        """Average ``guide`` (N, C, H, W) over stride x stride, sizes rounded up."""
        if self.stride == 1:
            return guide
        return F.avg_pool2d(guide, self.stride, self.stride, ceil_mode=True)
