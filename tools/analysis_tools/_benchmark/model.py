"""Inference of a whole network: as published, ours, bfloat16, compiled."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from condseg_mmseg.engine import fuse_model

from .arguments import add_image_arguments, add_network_arguments, shapes
from .core import Benchmark, Call, Result, largest
from .network import (
    Variant,
    build_literal,
    build_network,
    image_paths,
    products_of,
    read_images,
    smooth_images,
    why_not_literal,
)
from .network import check as check_files
from .network import wanted as wanted_variant

VARIANTS = {
    'literal': Variant(literal=True),
    'ours': Variant(),
    'ours-cl': Variant(channels_last=True),
    'ours-bf16': Variant(bfloat16=True),
    'ours-bf16-cl': Variant(bfloat16=True, channels_last=True),
    'ours-compiled': Variant(compiled=True),
    'ours-bf16-compiled': Variant(compiled=True, bfloat16=True),
    'ours-products': Variant(products=True),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what is special to this benchmark."""
    add_network_arguments(parser)
    add_image_arguments(parser, batch=1)
    parser.add_argument(
        '--images', type=Path, metavar='DIR', help='real images to run on (default: random ones)'
    )


def passes(args: argparse.Namespace) -> dict[str, str]:
    """One pass a size of the images."""
    return {f'{h}x{w}': f'inference, {args.batch} x {h} x {w}' for h, w in shapes(args)}


def build(args: argparse.Namespace, name: str, variant: str) -> Call:
    """Build one of :data:`VARIANTS`; the same weights and images for all."""
    what = VARIANTS[variant]
    model = build_literal(args) if what.literal else build_network(args)
    if not what.literal:
        fuse_model(model)
    if what.channels_last:
        model.to(memory_format=torch.channels_last)
    if what.compiled:
        model.forward = torch.compile(model.forward)
    torch.manual_seed(1)
    size = tuple(map(int, name.split('x')))
    images = read_images(args, *size) if args.images else smooth_images(args.batch, 3, *size)
    images = images.to(args.device)

    @torch.no_grad()
    def infer() -> Tensor:
        with what.autocast(args.device):
            return model(images, mode='tensor')

    @torch.no_grad()
    def literal() -> Tensor:
        mask, *_ = model(images)  # the published network runs the heads of training too
        return mask

    call = literal if what.literal else infer
    if what.compiled:
        call()  # compiles
    return products_of(call) if what.products else call


def check(args: argparse.Namespace) -> str | None:
    """Say what is wrong with the arguments, or None."""
    if args.images is not None:
        found = len(image_paths(args.images)) if args.images.is_dir() else 0
        if found < args.batch:
            return f'--images {args.images} holds {found} images, fewer than --batch {args.batch}'
    return check_files(args)


def compare(args: argparse.Namespace, result: Result, baseline: Result) -> dict[str, float]:
    """Largest difference of the logits, and IoU of all masks together.

    Masks of a ``--checkpoint`` are cut at probability 0.5, those of random weights at the median of
    the baseline's logits.
    """
    if not isinstance(result, Tensor) or not isinstance(baseline, Tensor):
        return {}
    threshold = baseline.new_tensor(0.0) if args.checkpoint else baseline.float().median()
    ours, theirs = result.float() > threshold, baseline.float() > threshold
    iou = (ours & theirs).sum() / (ours | theirs).sum().clamp(min=1)
    return largest(args, result, baseline) | {'mask IoU': iou.item()}


def why_not(args: argparse.Namespace, name: str, variant: str) -> str | None:
    """Say why a variant cannot run here, or None."""
    return why_not_literal(args) if VARIANTS[variant].literal else None


def wanted(args: argparse.Namespace, variant: str) -> bool:
    """Whether the arguments ask for a variant."""
    return wanted_variant(args, VARIANTS[variant])


BENCHMARK = Benchmark(
    summary='inference of a network: as published (literal), as its config builds it (ours)',
    passes=passes,
    variants=tuple(VARIANTS),
    build=build,
    add_arguments=add_arguments,
    wanted=wanted,
    compare=compare,
    check=check,
    why_not=why_not,
    # what the products read is kept for them, which is no memory of theirs
    with_memory=lambda args, name, variant: not VARIANTS[variant].products,
)
