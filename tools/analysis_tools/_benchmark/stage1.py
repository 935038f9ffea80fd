"""The stage-1 network with its head in our order and in the published one."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from condseg_mmseg.models import EncoderFusionHead, StemResNet
from condseg_mmseg.models.layers import resize_to

from .core import Benchmark, Call


class LiteralFusionHead(EncoderFusionHead):
    """Up-sample every level first, then 1x1 conv, BN, ReLU; concatenate; 1x1 conv."""

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """As :class:`EncoderFusionHead`, in the published order."""
        maps = self._transform_inputs(inputs)
        size = self._full_size(maps[0])
        full = [resize_to(x, size, self.align_corners) for x in maps]
        return self.conv_seg(
            torch.cat([level(x) for level, x in zip(self.levels, full, strict=True)], 1)
        )


HEADS = {'ours': EncoderFusionHead, 'literal': LiteralFusionHead}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what is special to this benchmark."""
    parser.add_argument('--depth', type=int, choices=(18, 34, 50), default=50, help='of the ResNet')


def build(args: argparse.Namespace, name: str, variant: str) -> Call:
    """Build the network with one of the heads; the same weights and images for both."""
    backbone = StemResNet(depth=args.depth)
    widths = (64, 256, 512, 1024) if args.depth == 50 else (64, 64, 128, 256)
    network = nn.Sequential(backbone, HEADS[variant](widths)).to(args.device)
    network.train(name == 'training')
    images = torch.rand(args.batch, 3, *args.shape).to(args.device)

    def forward() -> Tensor:
        with torch.no_grad():
            return network(images)

    def training() -> Tensor:
        network.zero_grad(set_to_none=True)
        logits = network(images)
        logits.square().mean().backward()
        return logits.detach()

    return {'forward': forward, 'training': training}[name]


BENCHMARK = Benchmark(
    summary='stage 1: 1x1 convolutions before the up-sampling (ours) or behind it (literal)',
    passes={'forward': 'forward, eval', 'training': 'forward + backward of one view'},
    variants=('ours', 'literal'),
    build=build,
    add_arguments=add_arguments,
)
