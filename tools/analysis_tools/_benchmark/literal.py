"""The network as published, step by step: what the package computes in a cheaper order.

Each class has the weights of its parent. :func:`make_literal` turns a built network into it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condseg_mmseg.models.decode_heads.encoder_fusion_head import EncoderFusionHead
from condseg_mmseg.models.decode_heads.sid_head import SIDBranch
from condseg_mmseg.models.decode_heads.size_aware_head import SizeAwareBlock, SizeAwareDecodeHead
from condseg_mmseg.models.layers import (
    ContrastDrivenFeatureAggregation,
    FeatureEnhancement,
    SIDAdapter,
    resize_to,
)
from condseg_mmseg.models.necks import CDFANeck
from condseg_mmseg.ops import outlook_aggregate


class LiteralFusionHead(EncoderFusionHead):
    """Up-sample every level first, then 1x1 conv, BN, ReLU; concatenate; 1x1 conv."""

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """As :class:`EncoderFusionHead`, in the published order."""
        maps = self._transform_inputs(inputs)
        size = self._full_size(maps[0])
        full = [resize_to(x, size, self.align_corners) for x in maps]
        return self.cls_seg(
            torch.cat([level(x) for level, x in zip(self.levels, full, strict=True)], 1)
        )


class LiteralBlock(SizeAwareBlock):
    """Concatenate, then the 1x1 convolution; every sum a new map."""

    def forward(self, coarse: Tensor, fine: Tensor, align_corners: bool = True) -> Tensor:
        """As :class:`SizeAwareBlock`."""
        x = torch.cat((resize_to(coarse, fine.shape[-2:], align_corners), fine), 1)
        s1 = self.merge(x)
        s2 = torch.relu(self.conv2(s1) + s1)
        s3 = torch.relu(self.conv3(s2) + s2 + s1)
        s4 = torch.relu(self.conv4(s3) + s3 + s2 + s1)
        return self.gates(s4)


class LiteralDecodeHead(SizeAwareDecodeHead):
    """Resize, concatenate, convolve, and keep every map for the backward pass."""

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """As :class:`SizeAwareDecodeHead`."""
        f1, f2, f3, f4 = self._transform_inputs(inputs)
        small = self.small(f2, f1, self.align_corners)
        middle = self.middle(f3, f2, self.align_corners)
        large = self.large(f4, f3, self.align_corners)
        maps = [resize_to(x, f1.shape[-2:], self.align_corners) for x in (small, middle, large)]
        x = self.fuse(torch.cat(maps, 1))
        return self.cls_seg(self.refine(resize_to(x, self._full_size(f1), self.align_corners)))


class LiteralBranch(SIDBranch):
    """Resize, convolve, and keep both maps for the backward pass."""

    def forward(self, x: Tensor) -> Tensor:
        """As :class:`SIDBranch`."""
        x = self.convs[0](x)
        for conv in self.convs[1:]:
            x = conv(resize_to(x, [2 * s for s in x.shape[-2:]], self.align_corners))
        return self.conv_seg(x)


class LiteralAdapter(SIDAdapter):
    """Resize, convolve, and keep both maps for the backward pass."""

    def forward(self, x: Tensor, sizes: list[tuple[int, int]]) -> Tensor:
        """As :class:`SIDAdapter`."""
        x = self.convs[0](x)
        for conv, size in zip(self.convs[1:], sizes, strict=True):
            x = conv(resize_to(x, size, self.align_corners))
        return x


class LiteralEnhancement(FeatureEnhancement):
    """Gate every branch, concatenate, convolve."""

    def forward(self, x: Tensor) -> Tensor:
        """As :class:`FeatureEnhancement`."""
        fused = self.fuse(torch.cat([branch(x) for branch in self.branches], 1))
        return self.gate(self.act(fused + self.shortcut(x)))


class LiteralCDFA(ContrastDrivenFeatureAggregation):
    """1x1 convolutions as such, and the aggregation by unfold, matmul and fold."""

    def forward(self, x: Tensor, fg: Tensor, bg: Tensor) -> Tensor:
        """As :class:`ContrastDrivenFeatureAggregation`."""
        guides = {'fg': (fg, self.attn_fg), 'bg': (bg, self.attn_bg)}
        values = self.value(self.input_convs(x))
        for name in self.attn_order:
            guide, attn = guides[name]
            if self.stride > 1:
                guide = F.avg_pool2d(guide, self.stride, self.stride, ceil_mode=True)
            mixed = outlook_aggregate(
                values,
                attn(guide),
                self.num_heads,
                self.kernel_size,
                stride=self.stride,
                attn_drop=self.attn_drop,
                training=self.training,
                backend='reference',
            )
            values = self.proj_drop(self.proj(mixed))
        return self.output_convs(values)


LITERAL = {
    literal.__base__: literal
    for literal in (
        LiteralFusionHead,
        LiteralBlock,
        LiteralDecodeHead,
        LiteralBranch,
        LiteralAdapter,
        LiteralEnhancement,
        LiteralCDFA,
    )
}


def make_literal(model: nn.Module) -> nn.Module:
    """Turn a network into the literal one, in place: same weights, same function.

    Besides the order of the steps: contiguous format, and SID with its uncertainty branch in eval
    mode too.

    Args:
        model: A segmentor.

    Returns:
        ``model``.
    """
    for module in model.modules():
        module.__class__ = LITERAL.get(type(module), type(module))
        if isinstance(module, CDFANeck):
            module.sid_in_eval = module.sid_outputs
    return model.to(memory_format=torch.contiguous_format)
