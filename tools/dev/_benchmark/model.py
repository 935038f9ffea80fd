"""Inference of a whole network: as published, ours, bfloat16, compiled; and stage 1."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from condseg_mmseg.engine import fuse_model
from condseg_mmseg.models import EncoderFusionHead, StemResNet
from condseg_mmseg.utils.errors import UserError

from .core import Benchmark, Call, Result, largest
from .network import NetworkBenchmark, image_paths, one_file, read_images, smooth_images

_PASSES = {'forward': 'forward, eval', 'training': 'forward + backward of one view'}
_PRODUCTS = ('convolution', 'addmm', 'mm', 'bmm', 'baddbmm')


class Inference(NetworkBenchmark):
    """Logits of images."""

    summary = 'inference of a network: as published (literal), as its config builds it (ours)'
    what = 'inference'
    batch = 1
    variants = (
        *('literal', 'ours', 'ours-cl', 'ours-bf16', 'ours-bf16-cl'),
        *('ours-compiled', 'ours-bf16-compiled', 'ours-products'),
    )

    def __init__(self, args: argparse.Namespace) -> None:
        super().__init__(args)
        found = args.batch if args.images is None else len(image_paths(args.images))
        if found < args.batch:
            raise UserError(
                f'--images {args.images} holds {found} images, fewer than --batch {args.batch}'
            )

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            '--images', type=Path, metavar='DIR', help='real images; random ones if not given'
        )

    def build(self, name: str, variant: str) -> Call:
        model = self.network(variant)
        if variant != 'literal':
            fuse_model(model)
        self.finished(model, variant)
        images = self._images(name).to(self.args.device)

        @torch.no_grad()
        def call() -> Tensor:
            if variant == 'literal':
                return model(images)[0]  # it runs the heads of training too
            with self.autocast(variant):
                return model(images, mode='tensor')

        if 'compiled' in variant:
            call()  # compiles
        return products_of(call) if 'products' in variant else call

    def _images(self, name: str) -> Tensor:
        torch.manual_seed(1)
        height, width = map(int, name.split('x'))
        if self.args.images is None:
            return smooth_images(self.args.batch, 3, height, width)
        return read_images(self.args.images, self.args.batch, (height, width), self.config)

    def compare(self, result: Result, baseline: Result) -> dict[str, float]:
        """Largest difference of the logits, and IoU of all masks together.

        Masks of a ``--checkpoint`` are cut at probability 0.5, those of random weights at the
        median of the baseline's logits.
        """
        if not isinstance(result, Tensor) or not isinstance(baseline, Tensor):
            return {}
        zero = baseline.new_tensor(0.0)
        threshold = baseline.float().median() if self.args.checkpoint is None else zero
        ours, theirs = result.float() > threshold, baseline.float() > threshold
        iou = (ours & theirs).sum() / (ours | theirs).sum().clamp(min=1)
        return largest(result, baseline) | {'mask IoU': iou.item()}

    def with_memory(self, name: str, variant: str) -> bool:
        return 'products' not in variant  # what they read is kept for them, no memory of theirs


class Products(TorchDispatchMode):
    """Notes every convolution and matrix product with its arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, tuple[Any, ...], dict[str, Any]]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func.overloadpacket.__name__ in _PRODUCTS:
            self.calls.append((func, args, kwargs))
        return func(*args, **kwargs)


def products_of(call: Callable[[], object]) -> Callable[[], None]:
    """Run ``call`` once, and return a call of its convolutions and matrix products alone."""
    with Products() as mode:
        call()

    @torch.no_grad()
    def run() -> None:
        for func, args, kwargs in mode.calls:
            func(*args, **kwargs)

    return run


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
