"""The C form of the outlook aggregation as an operator; that it is right, test_outlook.py tests."""

import shutil

import pytest
import torch
from torch.autograd import forward_ad
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._python_dispatch import TorchDispatchMode

from condseg_mmseg.ops import native, outlook_aggregate
from condseg_mmseg.ops.library import LIBRARY

pytestmark = pytest.mark.skipif(
    not (LIBRARY.is_file() or shutil.which('cc')), reason='neither the library nor a compiler'
)


def inputs(n=2, c=26, h=19, w=33, heads=2, k=3):
    """13 channels a head: blocks of 8, 4 and 1; 33 columns: 2 vectors of 16 and one column."""
    values = torch.randn(n, c, h, w, requires_grad=True)
    return values, torch.randn(n, heads * k**4, h, w, requires_grad=True), heads, k


def gradients(values, logits, heads, k, backend='native', **options):
    out = outlook_aggregate(values, logits, heads, k, backend=backend, **options)
    weights = torch.linspace(-1, 1, out.numel()).reshape(out.shape)
    return out, *torch.autograd.grad((out * weights).sum(), (values, logits))


# more than 4 MB of logits leave the caches by another way
@pytest.mark.parametrize(
    'case', [(2, 26, 19, 33, 2, 3), (1, 9, 67, 48, 9, 3), (1, 16, 35, 31, 2, 9)]
)
def test_vectors_blocks_and_chunks(case):
    values, logits, heads, k = inputs(*case)
    exact = gradients(values.double(), logits.double(), heads, k, 'reference')
    for actual, expected in zip(gradients(values, logits, heads, k), exact, strict=True):
        bound = 3e-6 * expected.abs().max()
        assert (actual.double() - expected).abs().max() <= bound


def test_every_number_of_threads_gives_the_same(monkeypatch):
    monkeypatch.setattr('condseg_mmseg.ops.native._WORK_PER_THREAD', 1)
    values, logits, heads, k = inputs(n=1, h=61)
    results = []
    before = torch.get_num_threads()
    for threads in (1, 2, 3, 3):
        torch.set_num_threads(threads)
        results.append(gradients(values, logits, heads, k))
    torch.set_num_threads(before)
    for other in results[1:]:
        assert all(map(torch.equal, results[0], other))


@pytest.mark.parametrize('where', ['values', 'logits'])
@pytest.mark.parametrize('bad', [float('nan'), float('inf'), -float('inf')])
def test_what_is_not_finite_spreads_as_in_the_reference(where, bad):
    values, logits, heads, k = inputs(1, 4, 9, 21, 2)
    with torch.no_grad():
        {'values': values, 'logits': logits}[where][0, 3, 4, 17] = bad
    actual = outlook_aggregate(values, logits, heads, k, backend='native')
    expected = outlook_aggregate(values, logits, heads, k, backend='reference')
    # a weight of 0 is the one thing that hides it
    assert actual.isfinite().all() == (where == 'logits' and bad == -float('inf'))
    torch.testing.assert_close(actual, expected, rtol=0, atol=2e-6, equal_nan=True)


def test_large_logits_do_not_overflow_and_small_weights_vanish():
    values, logits, heads, k = inputs(1, 4, 5, 5, 2)
    large = logits.detach() * 1e4
    for scale in (1.0, -1.0):
        actual = outlook_aggregate(values, large, heads, k, scale=scale, backend='native')
        expected = outlook_aggregate(values, large, heads, k, scale=scale, backend='reference')
        torch.testing.assert_close(actual, expected, rtol=0, atol=2e-6)


def test_denormals_survive_loading_the_library():
    outlook_aggregate(*inputs(), backend='native')
    assert torch.tensor(1e-40).mul(1.0).item() > 0


def test_any_memory_format_is_taken():
    values, logits, heads, k = inputs()
    plain = gradients(values, logits, heads, k)
    last = [
        x.detach().to(memory_format=torch.channels_last).requires_grad_() for x in (values, logits)
    ]
    turned = [x.detach().mT.contiguous().mT.requires_grad_() for x in (values, logits)]
    assert not last[0].is_contiguous()
    assert not turned[0].is_contiguous()
    for views in (last, turned):
        for actual, expected in zip(gradients(*views, heads, k), plain, strict=True):
            assert torch.equal(actual, expected)


def test_half_precision_accumulates_in_float32():
    values, logits, heads, k = inputs()
    half = [x.detach().bfloat16().requires_grad_() for x in (values, logits)]
    actual = gradients(*half, heads, k)
    exact = gradients(*(x.detach().double().requires_grad_() for x in half), heads, k, 'reference')
    assert {x.dtype for x in actual} == {torch.bfloat16}
    for a, e in zip(actual, exact, strict=True):  # upstream and result are rounded, 2^-9 each
        assert (a.double() - e).abs().max() <= 2**-7 * e.abs().max()


@pytest.mark.parametrize(
    'case', [(2, 26, 19, 33, 2, 3), (1, 9, 67, 48, 9, 3), (1, 8, 1, 1, 2, 1), (2, 24, 7, 7, 2, 5)]
)
@pytest.mark.parametrize(
    'dtypes',
    [
        (torch.bfloat16, torch.bfloat16),
        (torch.float16, torch.float16),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.bfloat16),
    ],
)
def test_half_precision_is_float32_rounded_once(case, dtypes):
    """To the bit: what is read is widened, what is written rounded to nearest, ties to even."""
    values, logits, heads, k = inputs(*case)
    given = [
        x.detach().to(t).requires_grad_() for x, t in zip((values, logits), dtypes, strict=True)
    ]
    wide = [x.detach().float().requires_grad_() for x in given]
    upstream = torch.randn_like(values).to(dtypes[0])
    results = []
    for pair in (given, wide):
        out = outlook_aggregate(*pair, heads, k, backend='native')
        results.append((out, *torch.autograd.grad(out, pair, upstream.to(out.dtype))))
    for actual, expected, dtype in zip(*results, (dtypes[0], *dtypes), strict=True):
        assert actual.dtype == dtype
        assert torch.equal(actual, expected.to(dtype))


def test_bfloat16_of_every_kind_passes_unchanged():
    """With k = 1 the result is the values, denormals, infinity and NaN among them."""
    bits = torch.arange(1 << 16, dtype=torch.int32).to(torch.int16)
    values = bits.view(torch.bfloat16).reshape(1, 8, 2, 4096)
    logits = torch.zeros(1, 1, 2, 4096, dtype=torch.bfloat16)
    out = outlook_aggregate(values, logits, 1, 1, backend='native')
    torch.testing.assert_close(out, values, rtol=0, atol=0, equal_nan=True)


def test_bfloat16_rounds_ties_to_even_as_pytorch():
    """The mean of neighbouring numbers lies halfway; that of the largest two is infinite."""
    bits = torch.arange(0x7F80, dtype=torch.int16)
    pairs = torch.stack((bits, bits + 1), 1).view(torch.bfloat16)  # the last one with infinity
    logits = torch.full((9, 9, 1, 2), -1e9)
    logits[:, 0] = 0.0  # the top left of every window, which is outside
    logits[4] = -1e9
    logits[4, 4] = logits[4, 5, 0, 0] = (
        0.0  # the left pixel: itself and its neighbour; the right one
    )
    out = outlook_aggregate(
        pairs.reshape(1, -1, 1, 2),
        logits.reshape(1, 81, 1, 2).bfloat16(),
        1,
        3,
        backend='native',
    )
    mean = (pairs[:, 0].float() / 2 + pairs[:, 1].float() / 2).bfloat16()
    assert torch.equal(out[0, :, 0, 0], mean)
    assert torch.equal(out[0, :, 0, 1], pairs[:, 1])


def test_no_pass_over_the_tensors_of_bfloat16(monkeypatch):
    values, logits, heads, k = inputs()
    half = [x.detach().bfloat16().requires_grad_() for x in (values, logits)]
    seen = []
    call = native._call
    monkeypatch.setattr(
        native, '_call', lambda _, tensors, *rest: (seen.extend(tensors), call(_, tensors, *rest))
    )
    gradients(*half, heads, k)
    assert len(seen) == 3 + 5
    assert {x.dtype for x in seen} == {torch.bfloat16}
    pointers = [x.data_ptr() for x in half]
    assert [x.data_ptr() for x in seen[:2]] == [x.data_ptr() for x in seen[4:6]] == pointers


class _Spy(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.seen.append(str(function))
        return function(*args, **(kwargs or {}))


def test_what_watches_operators_sees_this_one():
    values, logits, heads, k = inputs(1, 4, 5, 6)
    expected = gradients(values, logits, heads, k)
    with _Spy() as spy:
        actual = gradients(values, logits, heads, k)
    assert all(map(torch.equal, actual, expected))
    for name in ('outlook', 'outlook_backward'):
        assert f'condseg_mmseg.{name}.default' in spy.seen


def test_zeros_without_memory_are_made_real():
    values, logits, heads, k = inputs(1, 4, 5, 6)
    out = outlook_aggregate(values, logits, heads, k, backend='native')
    grads = torch.autograd.grad(out, (values, logits), torch._efficientzerotensor(out.shape))
    assert not any(grad.any() for grad in grads)


@pytest.mark.parametrize('pre_dispatch', [False, True])
def test_make_fx_records_the_operator(pre_dispatch):
    values, logits, heads, k = inputs(1, 4, 5, 6)
    graph = make_fx(
        lambda v, a: outlook_aggregate(v, a, heads, k, backend='native'), pre_dispatch=pre_dispatch
    )(values.detach(), logits.detach())
    assert any('condseg_mmseg.outlook' in str(node.target) for node in graph.graph.nodes)


def test_batched_gradients():
    """As torch.autograd.functional.jacobian(vectorize=True) asks for them."""
    values, logits, heads, k = inputs(1, 4, 5, 6)
    out = outlook_aggregate(values, logits, heads, k, backend='native')
    upstream = torch.randn(3, *out.shape)
    given = {'inputs': (values, logits), 'retain_graph': True}
    batched = torch.autograd.grad(out, grad_outputs=upstream, is_grads_batched=True, **given)
    for i in range(3):
        single = torch.autograd.grad(out, grad_outputs=upstream[i], **given)
        for a, b in zip(batched, single, strict=True):
            torch.testing.assert_close(a[i], b)


def test_forward_mode_is_refused_not_ignored():
    values, logits, heads, k = inputs(1, 4, 5, 6)
    with torch.no_grad(), forward_ad.dual_level():
        dual = forward_ad.make_dual(values.detach(), torch.ones_like(values))
        with pytest.raises(RuntimeError, match='forward mode AD'):
            outlook_aggregate(dual, logits.detach(), heads, k, backend='native')


def test_autocast_mixes_dtypes():
    values, logits, heads, k = inputs()
    weight = torch.eye(logits.shape[1])[..., None, None].requires_grad_()
    with torch.autocast('cpu', torch.bfloat16):
        given = torch.nn.functional.conv2d(logits, weight)
        assert given.dtype == torch.bfloat16
        out = outlook_aggregate(values, given, heads, k, backend='native')
    out.sum().backward()
    assert out.dtype == values.grad.dtype == weight.grad.dtype == torch.float32
    expected = outlook_aggregate(values, logits.bfloat16().float(), heads, k, backend='reference')
    torch.testing.assert_close(out, expected, rtol=0, atol=2e-6)


def test_operator_passes_the_checks_of_pytorch():
    values, logits, heads, k = inputs(1, 4, 5, 6)
    op = torch.ops.condseg_mmseg.outlook
    tests = (
        'test_schema',
        'test_autograd_registration',
        'test_faketensor',
        'test_aot_dispatch_dynamic',
    )
    torch.library.opcheck(op, (values, logits, heads, k, 0.5), test_utils=tests)


@pytest.mark.parametrize('backend', ['fast', 'native'])
def test_per_sample_gradients_by_vmap(backend):
    values, logits, heads, k = inputs()

    def loss(v, a):
        return outlook_aggregate(v[None], a[None], heads, k, backend=backend).square().sum()

    mapped = torch.func.vmap(torch.func.grad(loss, (0, 1)))(values, logits)
    out = outlook_aggregate(values, logits, heads, k, backend=backend)
    for a, b in zip(mapped, torch.autograd.grad(out.square().sum(), (values, logits)), strict=True):
        torch.testing.assert_close(a, b)
    shared = torch.func.vmap(loss, (0, None))(values, logits[0])
    assert shared.shape == (2,)
    torch.testing.assert_close(shared[1], loss(values[1], logits[0]))
