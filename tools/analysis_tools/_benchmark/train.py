"""One training step of a whole network: as published, ours, bfloat16, checkpointed, compiled."""

from __future__ import annotations

import argparse

import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from .arguments import add_image_arguments, add_network_arguments, shapes
from .core import Benchmark, Call, Result
from .network import (
    Variant,
    build_literal,
    build_network,
    heads,
    one_file,
    read_config,
    smooth_images,
    why_not_literal,
)
from .network import check as check_files
from .network import wanted as wanted_variant

VARIANTS = {
    'literal': Variant(literal=True),
    'ours': Variant(),
    'ours-cl': Variant(channels_last=True),
    'ours-cp': Variant(with_cp=True),
    'ours-cp-cl': Variant(with_cp=True, channels_last=True),
    'ours-bf16': Variant(bfloat16=True),
    'ours-bf16-cl': Variant(bfloat16=True, channels_last=True),
    'ours-bf16-cp': Variant(bfloat16=True, with_cp=True),
    'ours-bf16-cp-cl': Variant(bfloat16=True, with_cp=True, channels_last=True),
    'ours-compiled': Variant(compiled=True),
    'ours-bf16-compiled': Variant(compiled=True, bfloat16=True),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what is special to this benchmark."""
    add_network_arguments(parser)
    add_image_arguments(parser, batch=2)


def check(args: argparse.Namespace) -> str | None:
    """Say what is wrong with the arguments, or None."""
    if read_config(args.config).model.type == 'ConsistencyReinforcement':
        return f'--config {args.config} trains on two views (stage 1), this on one'
    return check_files(args)


def passes(args: argparse.Namespace) -> dict[str, str]:
    """One pass a size of the images."""
    return {f'{h}x{w}': f'training step, {args.batch} x {h} x {w}' for h, w in shapes(args)}


def build(args: argparse.Namespace, name: str, variant: str) -> Call:
    """Build one of :data:`VARIANTS`; the same weights, images and labels for all.

    A step is forward, loss, backward and Adam. The learning rate is 0, so that every step of every
    round computes the same; Adam's own state is there before the first one.
    """
    what = VARIANTS[variant]
    model = (build_literal(args) if what.literal else build_network(args)).train()
    if what.with_cp:
        for part in _checkpointed(model):
            part.with_cp = True
    if what.channels_last:
        model.to(memory_format=torch.channels_last)
    if what.compiled:
        model.forward = torch.compile(model.forward)
    weights = {n: p for n, p in model.named_parameters() if p.requires_grad}
    optimizer = torch.optim.Adam(weights.values(), lr=0.0)
    for weight in weights.values():
        weight.grad = torch.zeros_like(weight)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    torch.manual_seed(1)
    images = smooth_images(args.batch, 3, *map(int, name.split('x'))).to(args.device)
    masks = _blobs(images)
    samples = [SegDataSample(gt_sem_seg=PixelData(data=mask)) for mask in masks.unbind()]
    literal_losses = one_file().stage2_losses if what.literal else None

    def total() -> Tensor:
        if literal_losses is not None:
            return sum(literal_losses(model(images), masks).values())
        return model.parse_losses(model(images, samples, mode='loss'))[0]

    def step() -> dict[str, Tensor]:
        torch.manual_seed(2)  # of dropout
        optimizer.zero_grad(set_to_none=True)
        with what.autocast(args.device):
            loss = total()
        loss.backward()
        optimizer.step()
        grads = {n: p.grad for n, p in weights.items() if p.grad is not None}
        return grads | {'loss': loss.detach()}

    if what.compiled:
        step()  # compiles
    return step


def _blobs(images: Tensor) -> Tensor:
    """Random broad shapes as labels 0 and 1, (N, 1, H, W)."""
    noise = torch.randn(len(images), 1, 6, 6)
    maps = F.interpolate(noise, images.shape[-2:], mode='bilinear', align_corners=True)
    return (maps > 0).long().to(images.device)


def _checkpointed(model: nn.Module) -> list[nn.Module]:
    parts = [model.neck] if model.with_neck else []
    return [part for part in (*parts, *heads(model)) if hasattr(part, 'with_cp')]


def compare(args: argparse.Namespace, result: Result, baseline: Result) -> dict[str, float]:
    """Relative difference of the loss, and of the gradient of all parameters in norm."""
    assert isinstance(result, dict)
    assert isinstance(baseline, dict)
    loss = (result['loss'] - baseline['loss']).abs() / baseline['loss'].abs()
    error = size = 0.0
    for name in (result.keys() | baseline.keys()) - {'loss'}:
        # a parameter that the loss does not reach has no gradient
        ours, theirs = (x[name].double() if name in x else 0.0 for x in (result, baseline))
        error += float(torch.as_tensor(ours - theirs).square().sum())
        size += float(torch.as_tensor(theirs).square().sum())
    return {'loss': loss.item(), 'gradient': (error / size) ** 0.5}


def why_not(args: argparse.Namespace, name: str, variant: str) -> str | None:
    """Say why a variant cannot run here, or None."""
    if VARIANTS[variant].literal:
        return why_not_literal(args)
    if not VARIANTS[variant].with_cp or _checkpointed(build_network(args)):
        return None
    return f'neither neck nor heads of {args.config.name} have with_cp'


def wanted(args: argparse.Namespace, variant: str) -> bool:
    """Whether the arguments ask for a variant."""
    return wanted_variant(args, VARIANTS[variant])


BENCHMARK = Benchmark(
    summary='a training step of a network: as published (literal), as its config builds it (ours)',
    passes=passes,
    variants=tuple(VARIANTS),
    build=build,
    add_arguments=add_arguments,
    wanted=wanted,
    check=check,
    why_not=why_not,
    compare=compare,
)
