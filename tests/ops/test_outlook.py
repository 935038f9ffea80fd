"""The outlook aggregation: values, gradients, refusals."""

import itertools
import shutil

import pytest
import torch

from condseg_mmseg.ops import can_run, outlook_aggregate
from condseg_mmseg.ops.fast import pays
from condseg_mmseg.ops.library import LIBRARY

# N, C, H, W, heads, k: primes, 1 x 1, one pixel wide, windows larger than the map
AWKWARD = [
    (2, 8, 5, 7, 2, 3),
    (1, 6, 1, 1, 3, 3),
    (2, 4, 3, 2, 1, 5),
    (1, 4, 11, 2, 2, 5),
    (1, 4, 1, 9, 4, 7),
    (3, 4, 6, 9, 2, 1),
]
needs_library = pytest.mark.skipif(
    not (LIBRARY.is_file() or shutil.which('cc')), reason='neither the library nor a compiler'
)
BACKENDS = ['reference', 'fast', pytest.param('native', marks=needs_library)]
# the native form computes in float32 only
PRECISION = {'reference': (torch.float64, 1e-12), 'fast': (torch.float64, 1e-12)}
PRECISION['native'] = (torch.float32, 2e-6)


def inputs(n, c, h, w, heads, k, stride=1, dtype=torch.float64, seed=0):
    g = torch.Generator().manual_seed(seed)
    values = torch.randn(n, c, h, w, generator=g, dtype=torch.float64)
    size = -(-h // stride), -(-w // stride)
    logits = torch.randn(n, heads * k**4, *size, generator=g, dtype=torch.float64)
    return values.to(dtype).requires_grad_(), logits.to(dtype).requires_grad_()


def literal(values, logits, heads, k, stride, scale):
    """out[p] = sum of A[q, a, b] * values[q + o_b] over all q + o_a = p, as plain loops."""
    n, c, height, width = values.shape
    d, r = c // heads, k // 2
    offsets = list(itertools.product(range(-r, r + 1), repeat=2))
    attn = logits.reshape(n, heads, k * k, k * k, *logits.shape[-2:])
    attn = torch.softmax(scale * attn, 3)
    out = torch.zeros_like(values)
    for y, x in itertools.product(range(logits.shape[-2]), range(logits.shape[-1])):
        qy, qx = y * stride, x * stride
        for (a, (ay, ax)), (b, (by, bx)) in itertools.product(enumerate(offsets), repeat=2):
            to, source = (qy + ay, qx + ax), (qy + by, qx + bx)
            if not all(
                0 <= p < s for p, s in zip((*to, *source), (height, width) * 2, strict=True)
            ):
                continue
            weight = attn[:, :, a, b, y, x].repeat_interleave(d, 1)
            out[:, :, to[0], to[1]] += weight * values[:, :, source[0], source[1]]
    return out


@pytest.mark.parametrize('case', AWKWARD, ids=str)
@pytest.mark.parametrize('backend', BACKENDS)
def test_equals_the_formula_written_as_loops(case, backend):
    values, logits = inputs(*case)
    heads, k = case[4:]
    dtype, atol = PRECISION[backend]
    out = outlook_aggregate(
        values.to(dtype), logits.to(dtype), heads, k, scale=0.7, backend=backend
    )
    expected = literal(values, logits, heads, k, 1, 0.7)
    torch.testing.assert_close(out.double(), expected, rtol=0, atol=atol)


@pytest.mark.parametrize('stride', [2, 3])
def test_stride_equals_the_formula_written_as_loops(stride):
    values, logits = inputs(2, 4, 7, 5, 2, 3, stride)
    out = outlook_aggregate(values, logits, 2, 3, stride=stride)
    expected = literal(values, logits, 2, 3, stride, 2**-0.5)
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize('case', AWKWARD, ids=str)
@pytest.mark.parametrize('backend', BACKENDS[1:])
def test_gradients_equal_the_reference(case, backend):
    values, logits = inputs(*case)
    upstream = torch.randn_like(values)
    dtype, atol = PRECISION[backend]
    gradients = [
        torch.autograd.grad(
            outlook_aggregate(values.to(dtype), logits.to(dtype), *case[4:], backend=name),
            (values, logits),
            upstream.to(dtype),
        )
        for name, dtype in (('reference', torch.float64), (backend, dtype))
    ]
    for expected, actual in zip(*gradients, strict=True):
        torch.testing.assert_close(actual, expected, rtol=0, atol=atol)


# Of random projections of the Jacobian (fast_mode), not of its thousands of columns. The tolerance
# grows with their number: at the default a wrong second derivative passes.
@pytest.mark.parametrize('case', [(1, 2, 5, 7, 1, 3), (1, 2, 3, 2, 1, 5)], ids=str)
def test_fast_gradients_equal_finite_differences(case):
    def op(values, logits):
        return outlook_aggregate(values, logits, *case[4:], backend='fast')

    strict = dict(fast_mode=True, atol=1e-8)
    assert torch.autograd.gradcheck(op, inputs(*case), **strict)
    assert torch.autograd.gradgradcheck(op, inputs(*case), **strict)


@pytest.mark.parametrize('case', [(1, 4, 4, 3, 2, 3), (1, 2, 1, 2, 1, 5)], ids=str)
def test_fast_has_higher_derivatives(case):
    """Those of the reference, which PyTorch differentiates: in values and logits, up to third."""
    results = []
    for backend in ('fast', 'reference'):
        both = inputs(*case)
        out = outlook_aggregate(*both, *case[4:], backend=backend)
        found = []
        for _ in range(3):
            gradients = torch.autograd.grad(out.pow(3).sum(), both, create_graph=True)
            found.extend(gradients)
            out = torch.cat([x.flatten() for x in gradients])
        results.append(found)
    for actual, expected in zip(*results, strict=True):
        torch.testing.assert_close(
            actual, expected, rtol=0, atol=1e-12 * float(expected.abs().max())
        )


@pytest.mark.parametrize(('dtype', 'bound'), [(torch.float32, 1e-6), (torch.bfloat16, 1e-2)])
@pytest.mark.parametrize('backend', BACKENDS)
def test_lower_precision_stays_near_float64(dtype, bound, backend):
    values, logits = inputs(2, 8, 13, 11, 2, 3)
    exact = outlook_aggregate(values, logits, 2, 3)
    out = outlook_aggregate(values.to(dtype), logits.to(dtype), 2, 3, backend=backend)
    assert out.dtype == dtype
    assert (out.double() - exact).abs().max() <= bound * exact.abs().max()


def test_blocks_do_not_change_the_result(monkeypatch):
    values, logits = inputs(3, 8, 9, 6, 4, 3)
    whole = outlook_aggregate(values, logits, 4, 3, backend='fast')
    monkeypatch.setattr('condseg_mmseg.ops.fast._CPU_BLOCK_ELEMENTS', 1)
    torch.testing.assert_close(
        outlook_aggregate(values, logits, 4, 3, backend='fast'), whole, rtol=0, atol=1e-14
    )


@pytest.mark.parametrize('backend', BACKENDS)
def test_an_empty_batch_stays_empty(backend):
    values, logits = torch.zeros(0, 4, 5, 5), torch.zeros(0, 162, 5, 5)
    assert outlook_aggregate(values, logits, 2, 3, backend=backend).shape == (0, 4, 5, 5)


@pytest.mark.parametrize('backend', BACKENDS)
def test_compiled_equals_eager_forward_and_backward(backend):
    """Without a graph break, which fullgraph makes an error."""
    dtype, atol = PRECISION[backend]
    values, logits = inputs(1, 4, 6, 5, 2, 3, dtype=dtype)
    torch.compiler.reset()
    compiled = torch.compile(
        lambda v, a: outlook_aggregate(v, a, 2, 3, backend=backend) * 2,
        backend='aot_eager',
        fullgraph=True,
    )
    expected = outlook_aggregate(values, logits, 2, 3, backend=backend) * 2
    actual = compiled(values, logits)
    torch.testing.assert_close(actual, expected, rtol=0, atol=atol)
    upstream = torch.randn_like(expected)
    for a, b in zip(
        torch.autograd.grad(actual, (values, logits), upstream),
        torch.autograd.grad(expected, (values, logits), upstream),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=0, atol=atol)


def test_uniform_weights_give_the_mean_of_windows():
    """One channel, logits 0: the centre of a 3 x 3 map of ones collects 9 windows."""
    out = outlook_aggregate(torch.ones(1, 1, 3, 3), torch.zeros(1, 81, 3, 3), 1, 3)
    # windows centred on a corner, an edge and the middle average 4, 6 and 9 ones over 9 places
    assert out[0, 0, 1, 1].item() == pytest.approx((4 * 4 + 4 * 6 + 9) / 9)
    assert out[0, 0, 0, 0].item() == pytest.approx((4 + 2 * 6 + 9) / 9)


def test_dropout_of_weights_is_drawn_in_training_only():
    values, logits = inputs(1, 4, 6, 6, 2, 3, dtype=torch.float32)
    plain = outlook_aggregate(values, logits, 2, 3)
    still = outlook_aggregate(values, logits, 2, 3, attn_drop=0.5)
    dropped = outlook_aggregate(values, logits, 2, 3, attn_drop=0.5, training=True)
    assert torch.equal(plain, still)
    assert not torch.allclose(plain, dropped)


@needs_library
def test_native_refuses_a_second_derivative():
    values, logits = inputs(1, 2, 3, 3, 1, 3, dtype=torch.float32)
    out = outlook_aggregate(values, logits, 1, 3, backend='native')
    (grad,) = torch.autograd.grad(out.square().sum(), values, create_graph=True)
    with pytest.raises(RuntimeError, match="no second derivative; use backend='fast'"):
        grad.sum().backward()


def test_can_run_says_why_not(monkeypatch):
    case = torch.zeros(1, 4, 5, 5), torch.zeros(1, 162, 5, 5)
    for backend in ('fast', 'native'):
        assert 'stride=2' in can_run(backend, *case, stride=2)
        assert 'attn_drop=0.5' in can_run(backend, *case, attn_drop=0.5, training=True)
    assert can_run('fast', *case, attn_drop=0.5) is None
    for backend in ('reference', 'auto'):
        assert can_run(backend, *case, stride=2, attn_drop=0.5, training=True) is None
    with pytest.raises(ValueError, match=r"'reference', 'fast', 'native'\), got 'banana'"):
        can_run('banana', *case)
    assert 'torch.float64' in can_run('native', case[0], case[1].double())
    assert 'meta' in can_run('native', case[0].to('meta'), case[1])
    monkeypatch.setattr('condseg_mmseg.ops.outlook.unavailable', lambda: 'no compiler')
    assert can_run('native', *case) == 'no compiler'


@pytest.mark.parametrize(
    ('size', 'case', 'library', 'chosen'),
    [
        (12, {}, None, 'native'),
        (11, {}, None, 'native'),
        (12, {}, 'no compiler', 'fast'),
        (11, {}, 'no compiler', 'reference'),
        (12, {'attn_drop': 0.5, 'training': True}, None, 'reference'),
        (12, {'dtype': torch.float64}, None, 'fast'),
    ],
)
def test_auto_takes_the_fastest_that_can_run(monkeypatch, size, case, library, chosen):
    monkeypatch.setattr('condseg_mmseg.ops.outlook.unavailable', lambda: library)
    taken = []
    for name in ('reference', 'fast', 'native'):
        monkeypatch.setattr(
            f'condseg_mmseg.ops.outlook.outlook_{name}', lambda *_, name=name: taken.append(name)
        )
    dtype = case.pop('dtype', torch.float32)
    values, logits = inputs(1, 4, size, size, 2, 3, dtype=dtype)
    outlook_aggregate(values, logits, 2, 3, **case)
    assert taken == [chosen]


def test_fast_pays_from_a_number_of_pixels_on():
    """All images counted; below, its many short steps cost more than the copies they spare."""
    assert pays(torch.zeros(2, 4, 8, 8))
    assert not pays(torch.zeros(1, 4, 1, 127))


BAD = [
    ({'num_heads': 3}, 'num_heads must divide the 4 channels of values, got 3'),
    ({'kernel_size': 2}, 'kernel_size must be odd and >= 1, got 2'),
    ({'stride': 0}, 'stride must be >= 1, got 0'),
    ({'attn_drop': 1.0}, r'attn_drop must be in \[0, 1\), got 1.0'),
    ({'backend': 'cuda'}, "got 'cuda'"),
    ({'stride': 2, 'backend': 'fast'}, "backend='fast' cannot run here"),
    ({'stride': 2, 'backend': 'native'}, "backend='native' cannot run here: .*stride=1"),
    ({'logits': torch.zeros(1, 162, 4, 5)}, r'logits must have shape \(1, 162, 5, 5\)'),
    ({'values': torch.zeros(4, 5, 5)}, 'must be 4-D'),
]


@pytest.mark.parametrize(('change', 'message'), BAD)
def test_wrong_arguments_are_named(change, message):
    arguments = {
        'values': torch.zeros(1, 4, 5, 5),
        'logits': torch.zeros(1, 162, 5, 5),
        'num_heads': 2,
        'kernel_size': 3,
    }
    if change.get('stride') == 2:
        arguments['logits'] = torch.zeros(1, 162, 3, 3)
    with pytest.raises(ValueError, match=message):
        outlook_aggregate(**(arguments | change))
