"""A training step of the demo's network, and how two of them are compared."""

import torch
from helpers import ROOT
from mmengine.config import Config
from mmseg.registry import MODELS

DEMO = ROOT / 'configs' / 'condseg' / 'condseg_r18_1xb8-4e_demo-96x96.py'
STAGE_1 = DEMO.with_name('condseg-stage1_r18_1xb8-3e_demo-96x96.py')


def build(config=DEMO, **parts):
    """The demo's network, always with the same weights; ``parts`` changes its config."""
    cfg = Config.fromfile(config)
    cfg.merge_from_dict({'model': parts})
    torch.manual_seed(0)
    return MODELS.build(cfg.model)


def total(losses):
    """The loss that is differentiated."""
    return sum(value for name, value in losses.items() if 'loss' in name)


def step(model, batch):
    """Total loss, gradients and statistics after a step, and the bytes it kept for backward."""
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        loss = total(model(*batch, mode='loss'))
    size = sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
    loss.backward()
    gradients = {name: p.grad for name, p in model.named_parameters()}
    return loss.detach(), gradients, dict(model.named_buffers()), size


def relative_error(actual, expected):
    """Norm of the difference over the norm."""
    return float((actual.double() - expected).norm() / expected.double().norm())


def assert_same(actual, expected, relative):
    """Each tensor within ``relative`` of its norm, or of the mean norm where it is smaller."""
    assert actual.keys() == expected.keys()
    norms = {name: x.double().norm() for name, x in expected.items()}
    floor = sum(norms.values()) / len(norms)
    for name, x in expected.items():
        error = (actual[name].double() - x.double()).norm() / max(norms[name], floor)
        assert error <= relative, f'{name}: {error:.2g}'
