"""The state dict of a checkpoint, however it is wrapped."""

import pytest
import torch
from mmengine.logging import HistoryBuffer

from condseg_mmseg.engine import read_weights
from condseg_mmseg.utils.errors import UserError


def test_weights_of_mmengine_and_of_a_wrapped_model(tmp_path):
    path, weights = tmp_path / 'model.pth', dict(a=torch.arange(3.0))
    history = HistoryBuffer([1.0], [1])
    for wrapped in (
        weights,
        dict(model=weights),
        dict(state_dict=weights, message_hub=dict(log_scalars=dict(loss=history))),
        dict(state_dict={'module.a': weights['a']}),
    ):
        torch.save(wrapped, path)
        loaded = read_weights(path)
        assert list(loaded) == ['a']
        assert loaded['a'].equal(weights['a'])
    torch.save(dict(state_dict=dict(a=1)), path)
    with pytest.raises(UserError, match='holds no state dict'):
        read_weights(path)
    with pytest.raises(UserError, match=r'there is no checkpoint .*no\.pth$'):
        read_weights(tmp_path / 'no.pth')
