"""bfloat16 autocast on a CPU."""

import pytest
import torch
from mmseg.registry import OPTIM_WRAPPERS
from torch import nn

from condseg_mmseg.engine import AutocastOptimWrapper


def test_forward_is_bfloat16_and_weights_stay_float32():
    model = nn.Conv2d(1, 1, 1)
    wrapper = OPTIM_WRAPPERS.build(
        dict(type='AutocastOptimWrapper', optimizer=torch.optim.SGD(model.parameters(), lr=0.5))
    )
    assert isinstance(wrapper, AutocastOptimWrapper)
    x = torch.full((1, 1, 2, 2), 1.0)
    before = model.bias.item()
    with wrapper.optim_context(model):
        out = model(x)
        assert out.dtype == torch.bfloat16
    wrapper.update_params(out.float().mean())
    assert model.weight.dtype == torch.float32
    assert model.bias.item() == pytest.approx(before - 0.5)
    assert model(x).dtype == torch.float32


def test_float16_is_refused():
    with pytest.raises(ValueError, match="dtype must be 'bfloat16', got 'float16'"):
        AutocastOptimWrapper(dtype='float16', optimizer=torch.optim.SGD([torch.zeros(1)], lr=1))
