"""The stage-1 network: as published (docs/condseg_in_one_file.py), and with our head."""

from __future__ import annotations

import argparse

import torch
from torch import Tensor, nn

from condseg_mmseg.models import EncoderFusionHead, StemResNet

from .arguments import add_image_arguments, shapes
from .core import Benchmark, Call
from .network import one_file, why_no_file


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
    """Build one of the two; the same weights and images for both."""
    kind, _, shape = name.partition('-')
    height, width = map(int, shape.split('x'))
    backbone = StemResNet(depth=args.depth)
    widths = (64, 256, 512, 1024) if args.depth == 50 else (64, 64, 128, 256)
    head = EncoderFusionHead(widths)
    images = torch.rand(args.batch, 3, height, width).to(args.device)
    network = nn.Sequential(backbone, head)
    if variant == 'literal':
        network = one_file().stage1(backbone, widths)
        network.decode_head.load_state_dict(head.state_dict(), strict=True)
    network.to(args.device).train(kind == 'training')

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
    variants=('literal', 'ours'),
    build=build,
    why_not=lambda args, name, variant: why_no_file() if variant == 'literal' else None,
    add_arguments=add_arguments,
)
