"""The stage-1 network: as published (docs/condseg_in_one_file.py), and with our head."""

from __future__ import annotations

import argparse

import torch
from torch import Tensor, nn

from condseg_mmseg.models import EncoderFusionHead, StemResNet

from .core import Benchmark, Call
from .network import one_file

_PASSES = {'forward': 'forward, eval', 'training': 'forward + backward of one view'}


class Stage1(Benchmark):
    """The network of stage 1 with a random encoder."""

    summary = 'stage 1: 1x1 convolutions after the up-sampling (literal) or before it (ours)'
    variants = ('literal', 'ours')
    batch = 1

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            '--depth', type=int, choices=(18, 34, 50), default=50, help='of the ResNet'
        )

    def passes(self) -> dict[str, str]:
        return {
            f'{name}-{height}x{width}': f'{text}, {height} x {width}'
            for height, width in self.args.shape
            for name, text in _PASSES.items()
        }

    def build(self, name: str, variant: str) -> Call:
        kind, _, shape = name.partition('-')
        height, width = map(int, shape.split('x'))
        backbone = StemResNet(depth=self.args.depth)
        widths = (64, 256, 512, 1024) if self.args.depth == 50 else (64, 64, 128, 256)
        head = EncoderFusionHead(widths)
        images = torch.rand(self.args.batch, 3, height, width).to(self.args.device)
        network = nn.Sequential(backbone, head)
        if variant == 'literal':
            network = one_file().stage1(backbone, widths)
            network.decode_head.load_state_dict(head.state_dict(), strict=True)
        network.to(self.args.device).train(kind == 'training')

        def forward() -> Tensor:
            with torch.no_grad():
                return network(images)

        def training() -> Tensor:
            network.zero_grad(set_to_none=True)
            logits = network(images)
            logits.square().mean().backward()
            return logits.detach()

        return {'forward': forward, 'training': training}[kind]
