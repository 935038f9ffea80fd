"""One training step of a whole network: as published, ours, bfloat16, checkpointed, compiled."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from dev_common import build_model
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor

from condseg_mmseg.utils.errors import UserError

from .core import Call, Result
from .network import NetworkBenchmark, heads, one_file, smooth_images


class TrainingStep(NetworkBenchmark):
    """Forward, losses, backward and Adam."""

    summary = 'a training step of a network: as published (literal), as its config builds it (ours)'
    what = 'training step'
    batch = 2
    variants = (
        *('literal', 'ours', 'ours-cl', 'ours-cp', 'ours-cp-cl'),
        *('ours-bf16', 'ours-bf16-cl', 'ours-bf16-cp', 'ours-bf16-cp-cl'),
        *('ours-compiled', 'ours-bf16-compiled'),
    )

    def __init__(self, args: argparse.Namespace) -> None:
        super().__init__(args)
        if self.config.model.type == 'ConsistencyReinforcement':
            raise UserError(f'--config {args.config} trains on two views (stage 1), this on one')

    def why_not(self, variant: str) -> str | None:
        if '-cp' in variant and not checkpointed(build_model(self.config)):
            return f'neither neck nor heads of {self.args.config.name} have with_cp'
        return super().why_not(variant)

    def build(self, name: str, variant: str) -> Call:
        """Build one of the kinds; the same weights, images and labels for all.

        The learning rate is 0, so that every step of every round computes the same; Adam's own
        state is there before the first one.
        """
        model = self.network(variant).train()
        for part in checkpointed(model) if '-cp' in variant else ():
            part.with_cp = True
        self.finished(model, variant)
        weights = {n: p for n, p in model.named_parameters() if p.requires_grad}
        optimizer = _adam(list(weights.values()))
        torch.manual_seed(1)
        height, width = map(int, name.split('x'))
        images = smooth_images(self.args.batch, 3, height, width).to(self.args.device)
        losses = _losses(model, images, literal=variant == 'literal')

        def step() -> dict[str, Tensor]:
            torch.manual_seed(2)  # of dropout
            optimizer.zero_grad(set_to_none=True)
            with self.autocast(variant):
                loss = losses()
            loss.backward()
            optimizer.step()
            grads = {n: p.grad for n, p in weights.items() if p.grad is not None}
            return grads | {'loss': loss.detach()}

        if 'compiled' in variant:
            step()  # compiles
        return step

    def compare(self, result: Result, baseline: Result) -> dict[str, float]:
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


def _adam(weights: list[Tensor]) -> torch.optim.Optimizer:
    optimizer = torch.optim.Adam(weights, lr=0.0)
    for weight in weights:
        weight.grad = torch.zeros_like(weight)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return optimizer


def _losses(model: Any, images: Tensor, literal: bool) -> Callable[[], Any]:
    """The sum of all losses on random broad shapes as labels 0 and 1."""
    noise = torch.randn(len(images), 1, 6, 6)
    maps = F.interpolate(noise, images.shape[-2:], mode='bilinear', align_corners=True)
    masks = (maps > 0).long().to(images.device)
    if literal:
        losses = one_file().stage2_losses
        return lambda: sum(losses(model(images), masks).values())
    samples = [SegDataSample(gt_sem_seg=PixelData(data=mask)) for mask in masks.unbind()]
    return lambda: model.parse_losses(model(images, samples, mode='loss'))[0]


def checkpointed(model: Any) -> list[Any]:
    """Neck and heads that can compute maps again in the backward pass."""
    neck = getattr(model, 'neck', None)
    return [part for part in (neck, *heads(model)) if hasattr(part, 'with_cp')]
