"""What is between logits and prediction: which head predicts, and padding that is cut off."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from condseg_mmseg.models.segmentors.prediction import predicting_head, without_padding


def test_the_last_head_of_a_cascade_predicts():
    first, last = nn.Identity(), nn.Identity()
    assert predicting_head(SimpleNamespace(decode_head=last)) is last
    assert predicting_head(SimpleNamespace(decode_head=nn.ModuleList([first, last]))) is last


@pytest.mark.parametrize('key', ['padding_size', 'img_padding_size'])
def test_padding_is_cut_off(key):
    maps = torch.arange(2 * 7 * 11).reshape(2, 7, 11)
    cut = without_padding(maps, {key: [1, 2, 3, 0]})  # left, right, top, bottom
    assert cut.equal(maps[:, 3:, 1:9])
    assert without_padding(maps, {}).equal(maps)
