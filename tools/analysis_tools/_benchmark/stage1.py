"""The stage-1 network with its head in our order and in the published one."""

from __future__ import annotations

import argparse

import torch
from torch import Tensor, nn

from condseg_mmseg.models import EncoderFusionHead, StemResNet

from .arguments import add_image_arguments, shapes
from .core import Benchmark, Call
from .literal import LiteralFusionHead

HEADS = {'literal': LiteralFusionHead, 'ours': EncoderFusionHead}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what is special to this benchmark."""
    add_image_arguments(parser, batch=1)
    parser.add_argument('--depth', type=int, choices=(18, 34, 50), default=50, help='of the ResNet')


def passes(args: argparse.Namespace) -> dict[str, str]:
    """Two passes a size of the images."""
    return {
        f'{name}-{height}x{width}': f'{text}, {height} x {width}'
        for height, width in shapes(args)
        for name, text in (
            ('forward', 'forward, eval'),
            ('training', 'forward + backward of one view'),
        )
    }


def build(args: argparse.Namespace, name: str, variant: str) -> Call:
    """Build the network with one of the heads; the same weights and images for both."""
    kind, _, shape = name.partition('-')
    height, width = map(int, shape.split('x'))
    backbone = StemResNet(depth=args.depth)
    widths = (64, 256, 512, 1024) if args.depth == 50 else (64, 64, 128, 256)
    network = nn.Sequential(backbone, HEADS[variant](widths)).to(args.device)
    network.train(kind == 'training')
    images = torch.rand(args.batch, 3, height, width).to(args.device)

    def forward() -> Tensor:
        with torch.no_grad():
            return network(images)

    def training() -> Tensor:
        network.zero_grad(set_to_none=True)
        logits = network(images)
        logits.square().mean().backward()
        return logits.detach()

    return {'forward': forward, 'training': training}[kind]


BENCHMARK = Benchmark(
    summary='stage 1: 1x1 convolutions behind the up-sampling (literal) or before it (ours)',
    passes=passes,
    variants=tuple(HEADS),
    build=build,
    add_arguments=add_arguments,
)
