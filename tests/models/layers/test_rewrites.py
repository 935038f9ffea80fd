"""Rewrites: the same values and gradients on and off, and nobody can notice them."""

import copy

import pytest
import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmcv.cnn.utils import fuse_conv_bn
from torch import nn
from torch.nn.utils import parametrizations, prune

from condseg_mmseg.models import ContrastDrivenFeatureAggregation, EncoderFusionHead
from condseg_mmseg.models.decode_heads.size_aware_head import SizeAwareBlock
from condseg_mmseg.models.layers.rewrites import rewrites

FORMATS = {'contiguous': torch.contiguous_format, 'channels_last': torch.channels_last}


def maps(*shapes, layout=torch.contiguous_format):
    generator = torch.Generator().manual_seed(3)
    made = (torch.randn(s, dtype=torch.float64, generator=generator) for s in shapes)
    return [x.contiguous(memory_format=layout).requires_grad_() for x in made]


def block(size=(3, 5)):
    """A decoder block with statistics other than 0 and 1, and its two maps."""
    layer = SizeAwareBlock(3 + 4, 5).double()
    layer(*(torch.randn(2, c, 6, 9, dtype=torch.float64) for c in (3, 4)))
    return layer, ((2, 3, *size), (2, 4, 6, 9))


def cdfa(**options):
    layer = ContrastDrivenFeatureAggregation(6, 4, num_heads=2, **options).double()
    return layer, ((2, 6, 7, 5), (2, 4, 7, 5), (2, 4, 7, 5))


def head(**options):
    layer = EncoderFusionHead(in_channels=(3, 4), channels=5, **options).double()
    return layer, ((2, 3, 6, 8), (2, 4, 3, 4))


LAYERS = {
    'block': block,
    'block, one size': lambda: block((6, 9)),
    'cdfa': cdfa,
    'cdfa, stride 2': lambda: cdfa(stride=2),
    'cdfa, bg first': lambda: cdfa(attn_order=('bg', 'fg')),
    'cdfa, dropout': lambda: cdfa(attn_drop=0.3, proj_drop=0.2),
    'fusion head': head,
    'fusion head, dropout': lambda: head(dropout_ratio=0.4),
}


def run(layer, inputs, enabled):
    torch.manual_seed(5)  # of dropout
    layer = copy.deepcopy(layer)
    call = (lambda *x: layer(x)) if isinstance(layer, EncoderFusionHead) else layer
    with rewrites(enabled):
        out = call(*inputs)
        upstream = torch.cos(torch.arange(out.numel(), dtype=out.dtype)).view(out.shape)
        wanted = [*inputs, *layer.parameters()]
        gradients = torch.autograd.grad(out, wanted, upstream)
    return out, gradients, [b.double() for b in layer.buffers()]


@pytest.mark.parametrize('layout', FORMATS)
@pytest.mark.parametrize('mode', ['train', 'eval'])
@pytest.mark.parametrize('name', LAYERS)
def test_values_gradients_and_statistics_are_the_same_on_and_off(name, mode, layout):
    layer, shapes = LAYERS[name]()
    if name == 'cdfa, dropout' and mode == 'train' and layout == 'channels_last':
        layer.proj_drop.p = 0.0  # torch draws in the order of memory, which is another one
    layer.train(mode == 'train')
    inputs = maps(*shapes, layout=FORMATS[layout])
    (out, gradients, buffers), (plain, expected, statistics) = (
        run(layer, inputs, enabled) for enabled in (True, False)
    )
    torch.testing.assert_close(out, plain, rtol=0, atol=1e-12)
    for a, b in zip((*gradients, *buffers), (*expected, *statistics), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-11)
    assert out.is_contiguous(memory_format=FORMATS[layout])


def test_a_fused_block_is_the_same_on_and_off():
    layer, shapes = block()
    layer = fuse_conv_bn(layer.eval())
    inputs = maps(*shapes)
    torch.testing.assert_close(
        run(layer, inputs, True)[0], run(layer, inputs, False)[0], rtol=0, atol=1e-12
    )


@pytest.fixture
def takes_plain_form(monkeypatch):
    """Whether a decoder block calls ``merge``, and does not take it apart."""
    seen, forward = [], ConvModule.forward
    monkeypatch.setattr(
        ConvModule, 'forward', lambda self, *a, **k: seen.append(self) or forward(self, *a, **k)
    )

    def ask(layer, inputs):
        seen.clear()
        layer(*inputs)
        return layer.merge in seen

    return ask


def nothing(*args):
    return None


def around(forward):
    return lambda *args: forward(*args)


class Subclass(SizeAwareBlock):
    pass


class Adapter(nn.Conv2d):
    """Stands for the layers of LoRA and pruning packages."""


def replace_conv(layer):
    conv = Adapter(7, 5, 1, bias=False).double()
    conv.load_state_dict(layer.merge.conv.state_dict())
    layer.merge.conv = conv


WATCHED = {
    'a hook on the convolution': lambda x: x.merge.conv.register_forward_hook(nothing),
    'a pre-hook on it': lambda x: x.merge.conv.register_forward_pre_hook(nothing),
    'a backward hook on it': lambda x: x.merge.conv.register_full_backward_hook(nothing),
    'a hook on its ConvModule': lambda x: x.merge.register_forward_hook(nothing),
    'a hook on the block': lambda x: x.register_forward_hook(nothing),
    'a backward pre-hook on the block': lambda x: x.register_full_backward_pre_hook(nothing),
    'a parametrisation': lambda x: parametrizations.weight_norm(x.merge.conv),
    'an old spectral norm': lambda x: nn.utils.spectral_norm(x.merge.conv),
    'pruning': lambda x: prune.l1_unstructured(x.merge.conv, 'weight', 0.5),
    'another forward': lambda x: setattr(x.merge.conv, 'forward', around(x.merge.conv.forward)),
    'another forward of the ConvModule': lambda x: setattr(
        x.merge, 'forward', around(x.merge.forward)
    ),
    'another convolution': replace_conv,
    'another class of the block': lambda x: setattr(x, '__class__', Subclass),
}


@pytest.mark.parametrize('what', WATCHED)
def test_the_plain_form_runs_where_something_watches(what, takes_plain_form):
    layer, shapes = block()
    inputs = maps(*shapes)
    assert not takes_plain_form(layer, inputs)
    WATCHED[what](layer)
    assert takes_plain_form(layer, inputs)


GLOBAL_HOOKS = (
    'register_module_forward_pre_hook',
    'register_module_forward_hook',
    'register_module_full_backward_pre_hook',
    'register_module_full_backward_hook',
)


@pytest.mark.parametrize('register', GLOBAL_HOOKS)
def test_the_plain_form_runs_under_global_hooks(register, takes_plain_form):
    layer, shapes = block()
    layer.merge.activate.inplace = False  # torch refuses backward hooks on what is changed in place
    handle = getattr(nn.modules.module, register)(nothing)
    try:
        assert takes_plain_form(layer, maps(*shapes))
    finally:
        handle.remove()
    assert not takes_plain_form(layer, maps(*shapes))


def test_the_plain_form_runs_on_other_devices(takes_plain_form):
    layer, shapes = block()
    layer.to('meta')
    assert takes_plain_form(
        layer, [torch.empty(s, dtype=torch.float64, device='meta') for s in shapes]
    )


def test_the_switch_is_restored_after_an_error(takes_plain_form):
    layer, shapes = block()
    with rewrites(False):
        assert takes_plain_form(layer, maps(*shapes))
        with pytest.raises(ZeroDivisionError), rewrites(True):
            raise ZeroDivisionError
        assert takes_plain_form(layer, maps(*shapes))
    assert not takes_plain_form(layer, maps(*shapes))


PARTS = [
    (cdfa, 'value', 1),
    (cdfa, 'attn_fg', 1),
    (cdfa, 'attn_bg', 1),
    (cdfa, 'proj', 2),
    (head, 'levels.0', 1),
    (head, 'levels.1.conv', 1),
    (head, 'conv_seg', 1),
    (block, 'merge', 1),
    (block, 'merge.conv', 1),
]


@pytest.mark.parametrize(('make', 'part', 'times'), PARTS, ids=[p for _, p, _ in PARTS])
def test_a_hook_on_any_part_alone_runs(make, part, times):
    layer, shapes = make()
    inputs, seen = maps(*shapes), []
    expected = run(layer, inputs, True)[0]
    layer.get_submodule(part).register_forward_hook(lambda *_: seen.append(1))
    out = layer(inputs) if make is head else layer(*inputs)
    assert len(seen) == times
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-12)


def replace(layer, part, module):
    parent, _, name = part.rpartition('.')
    setattr(layer.get_submodule(parent), name, module.double())


REPLACED = {
    'another last convolution, with bias': (head, 'conv_seg', lambda: nn.Conv2d(10, 1, 1)),
    'a wider level': (head, 'levels.0', lambda: ConvModule(3, 5, 3, padding=1)),
    'a level with a bias': (head, 'levels.1', lambda: ConvModule(4, 5, 1, bias=True)),
    'a projection without bias': (cdfa, 'proj', lambda: nn.Conv2d(4, 4, 1, bias=False)),
    'a wider value': (cdfa, 'value', lambda: nn.Conv2d(4, 4, 3, padding=1)),
    'a grouped projection': (cdfa, 'proj', lambda: nn.Conv2d(4, 4, 1, groups=2)),
    'a wider merge': (block, 'merge', lambda: ConvModule(7, 5, 3, padding=1)),
}


@pytest.mark.parametrize('what', REPLACED)
def test_a_replaced_part_computes_what_it_says(what):
    make, part, module = REPLACED[what]
    layer, shapes = make()
    torch.manual_seed(1)
    replace(layer, part, module())
    inputs = maps(*shapes)
    on, off = run(layer, inputs, True), run(layer, inputs, False)
    torch.testing.assert_close(on[0], off[0], rtol=0, atol=1e-12)


def test_the_plain_form_runs_under_torch_func():
    layer, shapes = block()
    coarse, fine = (x.detach() for x in maps(*shapes))
    layer.eval()
    stacked = torch.stack((coarse, 2 * coarse))
    out = torch.func.vmap(lambda x: layer(x, fine))(stacked)
    torch.testing.assert_close(out[1], layer(2 * coarse, fine), rtol=0, atol=1e-12)


def test_a_pruned_convolution_prunes():
    layer, shapes = block()
    inputs = maps(*shapes)
    prune.random_unstructured(layer.merge.conv, 'weight', 1.0)  # everything
    x = layer.eval().merge_levels(*inputs, True)
    expected = F.relu(layer.merge.bn(torch.zeros_like(x)))
    torch.testing.assert_close(x, expected)
