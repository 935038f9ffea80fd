"""The network hooked, recomputed, channels-last, compiled and in bfloat16."""

import pytest
import safetensors.torch
import torch
from helpers import ROOT
from mmengine.config import Config
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch.nn.utils import prune

from condseg_mmseg.models.layers import recompute
from condseg_mmseg.models.layers.rewrites import rewrites

DEMO = ROOT / 'configs' / 'condseg' / 'condseg_r18_1xb8-4e_demo-96x96.py'
STAGE_1 = DEMO.with_name('condseg-stage1_r18_1xb8-3e_demo-96x96.py')
CHECKPOINTED = {'neck': {'with_cp': True}, 'decode_head': {'with_cp': True}}


def build(config=DEMO, **parts):
    """The demo's network, always with the same weights; ``parts`` changes its config."""
    cfg = Config.fromfile(config)
    cfg.merge_from_dict({'model': parts})
    torch.manual_seed(0)
    return MODELS.build(cfg.model)


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(2, 3, 64, 80, generator=generator)
    masks = torch.rand(2, 1, 64, 80, generator=generator) > 0.7
    return images, [SegDataSample(gt_sem_seg=PixelData(data=m.long())) for m in masks]


def total(losses):
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


def assert_same(actual, expected, relative):
    """Each tensor within ``relative`` of its norm, or of the mean norm where it is smaller."""
    assert actual.keys() == expected.keys()
    norms = {name: x.double().norm() for name, x in expected.items()}
    floor = sum(norms.values()) / len(norms)
    for name, x in expected.items():
        error = (actual[name].double() - x.double()).norm() / max(norms[name], floor)
        assert error <= relative, f'{name}: {error:.2g}'


@pytest.mark.parametrize('momentum', [0.1, None])
def test_checkpointing_changes_memory_only(batch, momentum):
    results = []
    for parts in ({}, CHECKPOINTED | {'auxiliary_head': {'with_cp': True}}):
        model = build(**parts)
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = momentum
        results.append(step(model, batch))
    (loss, gradients, statistics, size), (cp_loss, cp_gradients, cp_statistics, cp_size) = results
    assert torch.equal(loss, cp_loss)
    assert_same(cp_gradients, gradients, 1e-6)
    assert statistics['neck.cdfa.0.input_convs.0.bn.num_batches_tracked'] == 1
    for name, value in statistics.items():
        assert torch.equal(cp_statistics[name], value), name
    assert cp_size < 0.7 * size


def calls_of_leaves(model):
    """Count the calls of every module with parameters of its own, by name."""
    calls = {name: 0 for name, m in model.named_modules() if list(m.parameters(recurse=False))}
    for name in calls:

        def count(*_, name=name):
            calls[name] += 1

        model.get_submodule(name).register_forward_hook(count)
    return calls


def test_every_leaf_runs_as_often_as_the_method_says(batch):
    model = build().eval()
    calls = calls_of_leaves(model)
    model(batch[0])
    for name, times in calls.items():
        unused = name.startswith('auxiliary_head.') or '.uncertainty.' in name
        twice = name.endswith('.proj') or '.mlp.' in name
        assert times == (0 if unused else 2 if twice else 1), name
    assert sum(calls.values()) > 100


@pytest.mark.parametrize('parts', [{}, CHECKPOINTED], ids=['plain', 'with_cp'])
def test_only_with_cp_runs_a_layer_again_in_the_backward_pass(batch, parts):
    model = build(**parts)
    calls = calls_of_leaves(model)
    loss = total(model(*batch, mode='loss'))
    forward = dict(calls)
    loss.backward()
    again = {name for name, times in calls.items() if times > forward[name]}
    assert bool(again) == bool(parts)


@pytest.mark.parametrize(
    'target', ['decode_head.fuse', 'decode_head.small.merge', 'decode_head.refine.0',
               'neck.enhance.3.fuse', 'neck.enhance.0.branches.0.1', 'decode_head.small.gates.0']
)  # fmt: skip
def test_a_hook_of_grad_cam_sees_one_map_and_its_gradient(batch, target):
    model, seen = build().eval(), []
    module = model.get_submodule(target)
    module.register_forward_hook(lambda m, args, out: out.retain_grad() or seen.append(out))
    model(batch[0]).sum().backward()
    assert len(seen) == 1
    assert seen[0].grad.abs().sum() > 0


@pytest.mark.parametrize('parts', [{}, CHECKPOINTED], ids=['plain', 'with_cp'])
def test_one_graph_can_be_differentiated_again(batch, parts):
    model = build(**parts)
    losses = model(*batch, mode='loss')
    weights = [p for p in model.parameters() if p.requires_grad]
    first, second = (
        torch.autograd.grad(total(losses), weights, retain_graph=True) for _ in range(2)
    )
    for a, b in zip(first, second, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6 * float(a.abs().max()))
    statistics = dict(model.named_buffers())
    assert statistics['neck.cdfa.0.input_convs.0.bn.num_batches_tracked'] == 1
    # a gradient for each loss: they add up to that of the total
    parts = [
        torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True)
        for name, loss in losses.items()
        if 'loss' in name
    ]
    for whole, *each in zip(first, *parts, strict=True):
        added = sum(g for g in each if g is not None)
        torch.testing.assert_close(added, whole, rtol=0, atol=1e-4 * float(whole.abs().max()))


def test_the_jacobian_has_a_row_for_each_pixel(batch):
    model = build(**CHECKPOINTED).eval()
    maps = [x.detach()[:1] for x in model.backbone(batch[0])]

    def two_pixels(x):
        return model.decode_head(model.neck([*maps[:3], x]))[0, 0, 10:12, 10]

    jacobian = torch.autograd.functional.jacobian(two_pixels, maps[3])
    x = maps[3].requires_grad_()
    for row, pixel in zip(jacobian, two_pixels(x), strict=True):
        (expected,) = torch.autograd.grad(pixel, x, retain_graph=True)
        torch.testing.assert_close(row, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_parameters_are_contiguous(batch):
    model = build()
    model(batch[0].contiguous(memory_format=torch.channels_last), batch[1], mode='loss')
    assert all(tensor.is_contiguous() for tensor in model.state_dict().values())
    flat = torch.nn.utils.parameters_to_vector(model.parameters())
    assert flat.numel() == sum(p.numel() for p in model.parameters())
    saved = safetensors.torch.load(safetensors.torch.save(model.state_dict()))
    assert saved.keys() == model.state_dict().keys()
    head = model.decode_head
    optimizer = torch.optim.LBFGS(head.parameters(), lr=1e-3, max_iter=2)
    maps = [x.detach() for x in model.extract_feat(batch[0])]

    def closure():
        optimizer.zero_grad()
        loss = total(head.loss(maps, batch[1], {}))
        loss.backward()
        return loss

    before = optimizer.step(closure)
    assert closure() < before
    targets = [(m, 'weight') for m in model.modules() if isinstance(m, torch.nn.Conv2d)]
    prune.global_unstructured(targets, prune.L1Unstructured, amount=0.5)
    zeros = sum(int((m.weight == 0).sum()) for m, _ in targets)
    assert zeros == pytest.approx(0.5 * sum(m.weight.numel() for m, _ in targets), rel=1e-3)


@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize('config', [DEMO, STAGE_1], ids=['stage 2', 'stage 1'])
def test_rewrites_change_no_loss_and_no_gradient(batch, config, layout):
    results = []
    for enabled in (True, False):
        model = build(config).double()
        images = batch[0].double().contiguous(memory_format=layout)
        views = {'strong_inputs': images.flip(0)} if config == STAGE_1 else {}
        with rewrites(enabled):
            loss = total(model(images, batch[1], mode='loss', **views))
            loss.backward()
        gradients = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
        results.append((loss.item(), gradients, dict(model.named_buffers())))
    (loss, gradients, statistics), (plain, expected, expected_statistics) = results
    assert loss == pytest.approx(plain, rel=1e-12)
    assert_same(gradients, expected, 1e-9)
    assert_same(statistics, expected_statistics, 1e-12)


def test_channels_last_images_make_all_maps_channels_last(batch):
    model = build().eval()
    contiguous = model.extract_feat(batch[0])
    maps = model.extract_feat(batch[0].contiguous(memory_format=torch.channels_last))
    for x, y in zip(maps, contiguous, strict=True):
        assert x.is_contiguous(memory_format=torch.channels_last)
        assert y.is_contiguous()
        assert (x - y).abs().max() <= 1e-5 * y.abs().max()


def compiled(model, backend):
    """The forward pass as mmengine's Runner compiles it, where a graph break is an error."""
    torch.compiler.reset()
    model.forward = torch.compile(model.forward, backend=backend, fullgraph=True)
    return model


def test_backward_hooks_run_where_no_activation_works_in_place(batch):
    model, seen = build(), []
    small = model.decode_head.small
    layers = [*(block.fuse for block in model.neck.enhance), small.conv2, small.conv4]
    for layer in layers:
        layer.bn.register_full_backward_hook(lambda *_: seen.append(1))
    total(model(*batch, mode='loss')).backward()
    assert len(seen) == len(layers)


def test_torch_func_differentiates_neck_and_head():
    model = build().eval()
    maps = [torch.randn(1, c, 64 >> i, 64 >> i) for i, c in enumerate(model.neck.in_channels)]

    def logits(maps):
        return model.decode_head(model.neck(maps)).sum()

    expected = torch.autograd.grad(logits([x.requires_grad_() for x in maps]), maps)
    actual = torch.func.grad(logits)([x.detach() for x in maps])
    for a, b in zip(actual, expected, strict=True):
        assert (a - b).abs().max() <= 1e-4 * b.abs().max()


def test_a_norm_that_is_no_batch_norm_keeps_its_buffers_when_recomputed():
    class Counting(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer('calls', torch.zeros(()))

        def forward(self, x):
            self.calls += 1
            return torch.sin(x)

    module = torch.nn.Sequential(Counting(), torch.nn.Linear(2, 2))
    recompute(module, torch.ones(1, 2, requires_grad=True), with_cp=True).sum().backward()
    assert module[0].calls == 1


@pytest.mark.slow
@pytest.mark.parametrize('backend', ['aot_eager', 'inductor'])
def test_compiled_prediction_has_no_graph_break_and_the_same_logits(batch, backend):
    with torch.no_grad():
        expected = build().eval()(batch[0])
        actual = compiled(build().eval(), backend)(batch[0])
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-4 * expected.abs().max().item())


@pytest.mark.slow  # with Inductor it is minutes: benchmark.py train --compile runs that
@pytest.mark.parametrize('parts', [{}, CHECKPOINTED], ids=['plain', 'with_cp'])
def test_compiled_training_has_no_graph_break_and_the_same_gradients(batch, parts):
    loss, gradients, statistics, _ = step(build(), batch)
    model = compiled(build(**parts), 'aot_eager')
    actual, actual_gradients, actual_statistics, _ = step(model, batch)
    assert actual.item() == pytest.approx(loss.item(), rel=1e-5)
    assert_same(actual_gradients, gradients, 2e-2)
    assert_same(actual_statistics, statistics, 1e-4)


def test_autocast_keeps_maps_and_gradients_near_float32(batch):
    loss, gradients, _, _ = step(build(), batch)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        low, low_gradients, _, _ = step(build(), batch)
    assert low.item() == pytest.approx(loss.item(), rel=2e-2)
    assert low_gradients.keys() == gradients.keys()
    for part in ('backbone', 'cdfa', 'attn_fg', 'attn_bg', 'decode_head', 'auxiliary_head'):
        flat = [
            torch.cat([g.flatten() for name, g in x.items() if part in name])
            for x in (low_gradients, gradients)
        ]
        assert torch.cosine_similarity(*flat, dim=0) > 0.5, part
