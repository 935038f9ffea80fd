"""Properties of the aggregation over generated shapes, for each backend that runs here."""

import shutil

import torch
from hypothesis import given
from hypothesis import strategies as st
from properties import few
from torch import Tensor

from condseg_mmseg.ops import outlook_aggregate
from condseg_mmseg.ops.library import LIBRARY

BACKENDS = ('fast', 'native') if LIBRARY.is_file() or shutil.which('cc') else ('fast',)


@st.composite
def cases(draw) -> tuple[Tensor, Tensor, int, int]:
    """Values, logits, heads and size of the window."""
    heads, k = draw(st.integers(1, 3)), draw(st.sampled_from((1, 3, 5)))
    n, h, w = draw(st.integers(1, 2)), draw(st.integers(1, 9)), draw(st.integers(1, 18))
    channels = heads * draw(st.integers(1, 5))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    values = torch.randn(n, channels, h, w, generator=generator)
    return values, torch.randn(n, heads * k**4, h, w, generator=generator), heads, k


@few
@given(cases())
def test_every_backend_equals_the_reference(case):
    values, logits, heads, k = case
    expected = outlook_aggregate(values.double(), logits.double(), heads, k, backend='reference')
    for backend in BACKENDS:
        actual = outlook_aggregate(values, logits, heads, k, backend=backend)
        torch.testing.assert_close(actual.double(), expected, rtol=1e-5, atol=1e-5)


@few
@given(cases(), st.floats(-3, 3))
def test_it_is_linear_in_the_values(case, factor):
    values, logits, heads, k = case
    other = values.flip(0, 2, 3)
    for backend in ('reference', *BACKENDS):
        one, two, both = (
            outlook_aggregate(x, logits, heads, k, backend=backend)
            for x in (values, other, values + factor * other)
        )
        torch.testing.assert_close(both, one + factor * two, rtol=1e-4, atol=1e-4)


@few
@given(cases(), st.floats(-5, 5))
def test_a_constant_added_to_all_logits_changes_nothing(case, shift):
    values, logits, heads, k = case
    for backend in BACKENDS:
        pair = [
            outlook_aggregate(values, x, heads, k, backend=backend)
            for x in (logits, logits + shift)
        ]
        torch.testing.assert_close(*pair, rtol=1e-4, atol=1e-4)
