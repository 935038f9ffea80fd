"""The CDFA cascade as an mmseg neck."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..layers import (
    ContrastDrivenFeatureAggregation,
    FeatureEnhancement,
    SemanticInformationDecoupling,
    SIDAdapter,
    recompute,
    resize_to,
)
from ..layers.defaults import BN, RELU


@MODELS.register_module()
class CDFANeck(BaseModule):
    r"""Enhance, decouple and aggregate encoder maps; one map of C channels per level comes back.

    ::

        x1 -> enhance -> d1 -> cat -> CDFA1(fg, bg adapted to level 1) -> f1
                                ^ resize
        x2 -> enhance -> d2 -> cat -> CDFA2(fg, bg adapted to level 2) -> f2
                                ^ resize
        x3 -> enhance -> d3 -> cat -> CDFA3(fg, bg adapted to level 3) -> f3
                                ^ resize
        x4 -> enhance -> d4 --------> CDFA4(fg, bg adapted to level 4) -> f4
          \-> SID -> fg, bg, uc

    Any number of levels >= 1 works, finest first, with any strides and channels, and any mmseg
    head can come after it. Maps are resized to the size of the next finer level, whatever it is,
    so any input size works.

    In training mode with ``sid_outputs=True`` fg, bg and uc (of the coarsest level's size) are
    appended for an auxiliary :class:`SIDHead`. In eval mode they are left out, and the uncertainty
    branch is not run, unless ``sid_in_eval`` is set.

    Args:
        in_channels: Channels of each encoder map, finest first.
        out_channels: Channels C of each result. Default 128.
        num_heads: Heads of every CDFA block; divides C. Default 4.
        kernel_size: Window size of every CDFA block in pixels, odd. Default 3.
        sid_channels: Width inside SID. Default None, half of the deepest map's channels.
        sid_outputs: Whether fg, bg, uc are appended. Without it the uncertainty branch is not
            built. Default False.
        sid_in_eval: Whether they are appended in eval mode too; may be set at any time. Default
            False.
        dilations: Of the feature enhancement, in pixels. Default ``(6, 12, 18)``.
        attn_order: Of :class:`ContrastDrivenFeatureAggregation`. Default ``('fg', 'bg')``.
        attn_drop: Dropout of the aggregation weights. Default 0.
        proj_drop: Dropout after the projection. Default 0.
        backend: Of the aggregation. Default 'auto'.
        align_corners: For every resize. Default True.
        with_cp: Whether the maps inside each part (enhancement, SID, adapters, CDFA) are computed
            again in the backward pass instead of being kept: less memory, more time
            (docs/performance.md). Default False.
        norm_cfg: Normalisation. Default BN.
        act_cfg: Activation. Default ReLU.
        init_cfg: mmengine's. Default None.

    Shapes:
        inputs (N, in_channels[i], H_i, W_i), finest first; results (N, C, H_i, W_i), then fg, bg,
        uc (N, C, H_last, W_last).

    Raises:
        ValueError: No level, ``sid_in_eval`` without ``sid_outputs``, an argument of CDFA that does
            not fit, or (in forward) maps that do not match ``in_channels``.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int = 128,
        num_heads: int = 4,
        kernel_size: int = 3,
        sid_channels: int | None = None,
        sid_outputs: bool = False,
        sid_in_eval: bool = False,
        dilations: tuple[int, ...] = (6, 12, 18),
        attn_order: tuple[str, str] = ('fg', 'bg'),
        attn_drop: float = 0.0,
        proj_drop: float = 0.0,
        backend: str = 'auto',
        align_corners: bool = True,
        with_cp: bool = False,
        norm_cfg: dict = BN,
        act_cfg: dict = RELU,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if isinstance(in_channels, int) or not len(in_channels):
            raise ValueError(
                f'in_channels must list the channels of one or more levels, got {in_channels}'
            )
        if sid_in_eval and not sid_outputs:
            raise ValueError('sid_in_eval=True needs sid_outputs=True: there is nothing to append')
        self.in_channels = tuple(in_channels)
        self.out_channels = out_channels
        self.sid_outputs = sid_outputs
        self.sid_in_eval = sid_in_eval
        self.align_corners = align_corners
        self.with_cp = with_cp
        levels = len(self.in_channels)
        cfg: dict[str, Any] = {'norm_cfg': norm_cfg, 'act_cfg': act_cfg}
        self.enhance = nn.ModuleList(
            FeatureEnhancement(c, out_channels, dilations, **cfg) for c in self.in_channels
        )
        self.sid = SemanticInformationDecoupling(
            self.in_channels[-1],
            out_channels,
            mid_channels=sid_channels,
            with_uncertainty=sid_outputs,
            **cfg,
        )

        def adapters() -> nn.ModuleList:
            return nn.ModuleList(
                SIDAdapter(out_channels, levels - 1 - i, align_corners, **cfg)
                for i in range(levels)
            )

        self.adapt_fg, self.adapt_bg = adapters(), adapters()
        self.cdfa = nn.ModuleList(
            ContrastDrivenFeatureAggregation(
                out_channels if i == levels - 1 else 2 * out_channels,
                out_channels,
                num_heads,
                kernel_size,
                attn_order=attn_order,
                attn_drop=attn_drop,
                proj_drop=proj_drop,
                backend=backend,
                **cfg,
            )
            for i in range(levels)
        )

    def _check(self, inputs: Sequence[Tensor]) -> None:
        channels = tuple(x.shape[1] for x in inputs)
        if channels != self.in_channels:
            raise ValueError(
                f'CDFANeck was built for in_channels={self.in_channels} (finest first), but the '
                f'backbone returned maps of {channels} channels: set in_channels or out_indices'
            )

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Run the cascade on the encoder's maps, finest first; see the class for shapes."""
        self._check(inputs)
        sizes = [tuple(x.shape[-2:]) for x in inputs]
        with_sid = self.sid_outputs and (self.training or self.sid_in_eval)
        call = partial(recompute, with_cp=self.with_cp)
        fg, bg, uc = call(self.sid, inputs[-1], with_sid)
        results: list[Tensor] = []
        for i in reversed(range(len(inputs))):
            x = call(self.enhance[i], inputs[i])
            if results:
                x = torch.cat((x, resize_to(results[-1], sizes[i], self.align_corners)), 1)
            way_up = sizes[i:-1][::-1]
            guides = call(self.adapt_fg[i], fg, way_up), call(self.adapt_bg[i], bg, way_up)
            results.append(call(self.cdfa[i], x, *guides))
        results.reverse()
        return (*results, fg, bg, uc) if with_sid else tuple(results)
